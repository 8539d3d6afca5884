// SPDX-License-Identifier: Apache-2.0
// Proofs that a peer knows the token of a run. The token itself is never sent
// (docs/design/0022-rendezvous-threats.md).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace dbsp::runtime {

/// Characters of a nonce and of a proof.
inline constexpr std::size_t kNonceCharacters = 32;
inline constexpr std::size_t kProofCharacters = 64;

/// 128 random bits of the kernel in hexadecimal: a token or a nonce.
/// errors  Error{kUnavailable} when the kernel gives none
[[nodiscard]] std::string RandomHex();

/// HMAC-SHA256 (RFC 2104, FIPS 180-4) in hexadecimal, with `token` as the key, over the parts and
/// their lengths.
[[nodiscard]] std::string Proof(std::string_view token,
                                std::initializer_list<std::string_view> parts);

/// Compares two texts in a time that depends on their lengths only.
[[nodiscard]] bool SameSecret(std::string_view a, std::string_view b);

/// Whether `text` is `characters` lower-case hexadecimal digits.
[[nodiscard]] bool IsHex(std::string_view text, std::size_t characters);

}  // namespace dbsp::runtime
