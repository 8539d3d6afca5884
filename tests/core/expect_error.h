// SPDX-License-Identifier: Apache-2.0
// Expecting a dbsp::Error with a code and with words in its message.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

namespace dbsp::testing {

/// Fails unless `body` throws Error{code} whose one-line message has every one of `words`.
inline void ExpectError(ErrorCode code,
                        const std::vector<std::string>& words,
                        const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error, expected " << ErrorCodeName(code);
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(ErrorCodeName(error.code()), std::string(ErrorCodeName(code))) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string& word : words) {
      EXPECT_THAT(message, ::testing::HasSubstr(word));
    }
  }
}

}  // namespace dbsp::testing
