// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/proof.h"

#include <fmt/format.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/error.h"

namespace dbsp::runtime {
namespace {

std::string Hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

const std::uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

}  // namespace

std::string RandomHex() {
  std::array<std::uint8_t, kNonceCharacters / 2> bytes{};
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t count = ::getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      Fail(ErrorCode::kUnavailable, "no random bytes for a token: {}", std::strerror(errno));
    }
  }
  return Hex(bytes);
}

std::string Proof(std::string_view token, std::initializer_list<std::string_view> parts) {
  hmac_sha256_ctx context;
  ::hmac_sha256_set_key(&context, token.size(), Bytes(token));
  for (const std::string_view part : parts) {
    // The lengths keep "ab", "c" apart from "a", "bc".
    const std::string size = fmt::format("{}:", part.size());
    ::hmac_sha256_update(&context, size.size(), Bytes(size));
    ::hmac_sha256_update(&context, part.size(), Bytes(part));
  }
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  ::hmac_sha256_digest(&context, digest.size(), digest.data());
  return Hex(digest);
}

bool SameSecret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::memeql_sec(a.data(), b.data(), a.size()) != 0;
}

bool IsHex(std::string_view text, std::size_t characters) {
  return text.size() == characters && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace dbsp::runtime
