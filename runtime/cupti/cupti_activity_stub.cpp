// SPDX-License-Identifier: Apache-2.0
// Tracing of a build without cupti.h: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/cupti/cupti_activity.h"

namespace dbsp::runtime {

struct ActivityDecoder::Api {};
struct ActivitySession::Impl {};

ActivityDecoder::ActivityDecoder(std::unique_ptr<Api> api) : api_(std::move(api)) {}
ActivityDecoder::~ActivityDecoder() = default;
ActivityDecoder::ActivityDecoder(ActivityDecoder&&) noexcept = default;
ActivityDecoder& ActivityDecoder::operator=(ActivityDecoder&&) noexcept = default;

ActivityDecoder ActivityDecoder::Load(const std::string&) {
  Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: not built: {}", DBSP_NOT_BUILT);
}

ActivitySession::ActivitySession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ActivitySession::~ActivitySession() = default;
ActivitySession::ActivitySession(ActivitySession&&) noexcept = default;

ActivitySession ActivitySession::Start(const ActivityOptions&) {
  Fail(ErrorCode::kUnavailable, "CUPTI: unavailable: not built: {}", DBSP_NOT_BUILT);
}

// Load() and Start() never return, so no object exists for the other calls.
void ActivityDecoder::Decode(std::span<const std::byte>, ActivityCollector&) const {}
ActivityTrace ActivitySession::Stop() { return {}; }
ActivitySession::Segment::Segment(const ActivitySession& session, SegmentId)
    : impl_(session.impl_.get()) {}
ActivitySession::Segment::~Segment() { (void)impl_; }

}  // namespace dbsp::runtime
