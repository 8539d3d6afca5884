// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, section 4, with padding) for raw bytes inside JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dbsp {

[[nodiscard]] std::string Base64Encode(std::string_view bytes);

/// Bytes of `text`; std::nullopt when it is not canonical base64: length no multiple of 4, another
/// character, misplaced padding, or non-zero bits under the padding. One text per byte string, so
/// that a hash of the text identifies the bytes.
[[nodiscard]] std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace dbsp
