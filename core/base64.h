// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, section 4, with padding) for raw bytes inside JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbsp {

[[nodiscard]] std::string Base64Encode(std::string_view bytes);

/// Bytes of `text`. Missing when it is not canonical base64: when its length is not a multiple of
/// 4, or it has another character, misplaced padding, or non-zero bits under the padding. Every
/// byte string has one canonical text, so a hash of the text identifies the bytes.
[[nodiscard]] std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace dbsp
