// SPDX-License-Identifier: Apache-2.0
// bench/peers.py drives this part over standard input and output, so that PyTorch's kernels and
// these take turns on one device. A request is one line; the answer is one line with a JSON object:
//   groups              {"groups": [names]}
//   prepare INDEX       shape and runners
//   prepare INDEX masks the same, and writes block masks as .npy files to the output folder
//   sample RUNNER       one sample with a cold cache, {"ns": ..., "clock_ratio": ...}
//   quit                ends the part; no answer
// The answer to a request that fails is {"error": "..."}.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <sstream>

#include "bench/gpu_check/speed.h"
#include "core/arrays/array.h"
#include "core/cli.h"
#include "core/error.h"

namespace dbsp::gpu_check {
namespace {

class Server {
 public:
  explicit Server(Context& context)
      : context_(context), groups_(SpeedGroups(context.options.smoke)) {}

  Json Answer(const std::string& request) {
    std::istringstream words(request);
    std::string verb;
    std::size_t index = 0;
    words >> verb;
    if (verb == "groups") return Groups();
    if (!(words >> index)) {
      Fail(ErrorCode::kInvalidArgument, "request '{}': expected a number", request);
    }
    std::string masks;
    words >> masks;
    if (verb == "prepare") return Prepare(index, masks == "masks");
    if (verb == "sample") return Sample(index);
    Fail(ErrorCode::kInvalidArgument, "request '{}' is unknown", request);
  }

 private:
  Json Groups() const {
    Json names = Json::array();
    for (const SpeedGroup& group : groups_) names.push_back(group.name);
    return {{"groups", names}};
  }

  Json Prepare(std::size_t index, bool masks) {
    if (index >= groups_.size()) Fail(ErrorCode::kInvalidArgument, "there is no group {}", index);
    prepared_.reset();  // The next group needs the memory of the last one.
    prepared_ = std::make_unique<PreparedGroup>(groups_[index], context_);
    const SpeedGroup& group = prepared_->group();
    Json runners = Json::array();
    for (std::size_t i = 0; i < prepared_->runners().size(); ++i) {
      runners.push_back(Describe(group, index, i, masks));
    }
    return {{"group", group.name},
            {"tokens", group.shape.q_tokens},
            {"heads", group.shape.heads},
            {"head_dim", group.shape.head_dim},
            {"runners", runners}};
  }

  /// One runner as JSON. masks = true writes the mask of a block-sparse runner to a file.
  Json Describe(const SpeedGroup& group,
                std::size_t group_index,
                std::size_t runner_index,
                bool masks) const {
    const Runner& runner = prepared_->runners()[runner_index];
    const kernels::gpu::Variant& variant = *runner.variant;
    Json line = {{"mask", runner.item->mask},
                 {"kernel", variant.name},
                 {"q_block", variant.q_block},
                 {"k_block", variant.k_block},
                 {"pairs", runner.pairs},
                 {"expected_of_dense", runner.item->expected_of_dense},
                 {"expected_tflops", runner.item->expected_tflops},
                 {"spot_error", runner.spot_error}};
    if (masks && variant.k_block > 1 && runner.item->mask != "dense") {
      const Blocks blocks = BlocksOf(variant, group.shape);
      const int heads = runner.item->same_for_heads ? 1 : group.shape.heads;
      Lists lists = runner.lists;
      lists.begin.resize(static_cast<std::size_t>(heads) * blocks.rows() + 1);
      const std::string path =
          fmt::format("{}/mask-{}-{}.npy", context_.results.folder(), group_index, runner_index);
      WriteNpy(path, DenseMask(lists, blocks.cols()));
      line["mask_file"] = path;
    }
    return line;
  }

  Json Sample(std::size_t runner) {
    if (!prepared_ || runner >= prepared_->runners().size()) {
      Fail(ErrorCode::kInvalidArgument, "there is no runner {}", runner);
    }
    const auto reading = prepared_->Sample(prepared_->runners()[runner], context_);
    Json line = {{"ns", reading.duration_ns}};
    if (reading.clock_ratio) line["clock_ratio"] = *reading.clock_ratio;
    return line;
  }

  Context& context_;
  std::vector<SpeedGroup> groups_;
  std::unique_ptr<PreparedGroup> prepared_;
};

}  // namespace

bool ServePeers(Context& context) {
  Server server(context);
  for (std::string request; std::getline(std::cin, request) && request != "quit";) {
    Json answer;
    try {
      answer = server.Answer(request);
    } catch (const Error& error) {
      answer = {{"error", error.what()}};
    }
    WriteStdout(DumpJson(answer) + "\n");
  }
  return true;
}

}  // namespace dbsp::gpu_check
