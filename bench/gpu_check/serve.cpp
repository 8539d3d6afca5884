// SPDX-License-Identifier: Apache-2.0
// bench/peers.py drives this part over standard input and output, one line a request and one JSON
// object a line as the answer, so that its kernels and ours take turns on one device:
//   groups              {"groups": [names]}
//   prepare INDEX       shape and runners; block masks as .npy files in the output folder
//   sample RUNNER       one cold sample {"ns": ..., "clock_ratio": ...}
//   quit
// A request that fails is answered by {"error": "..."}.
#include <iostream>
#include <memory>
#include <sstream>

#include "bench/gpu_check/speed.h"
#include "core/error.h"

namespace dbsp::gpu_check {
namespace {

class Server {
 public:
  explicit Server(Context& context)
      : context_(context), groups_(SpeedGroups(context.options.smoke)) {}

  std::string Answer(const std::string& request) {
    std::istringstream words(request);
    std::string verb;
    std::size_t index = 0;
    words >> verb;
    if (verb == "groups") return Groups();
    if (!(words >> index)) Fail(ErrorCode::kInvalidArgument, "request '{}': no number", request);
    if (verb == "prepare") return Prepare(index);
    if (verb == "sample") return Sample(index);
    Fail(ErrorCode::kInvalidArgument, "request '{}': not known", request);
  }

 private:
  std::string Groups() const {
    std::string names;
    for (const SpeedGroup& group : groups_) {
      names += (names.empty() ? "\"" : ", \"") + group.name + "\"";
    }
    return "{\"groups\": [" + names + "]}";
  }

  std::string Prepare(std::size_t index) {
    if (index >= groups_.size()) Fail(ErrorCode::kInvalidArgument, "there is no group {}", index);
    prepared_.reset();  // Its memory is needed.
    prepared_ = std::make_unique<PreparedGroup>(groups_[index], context_);
    const SpeedGroup& group = prepared_->group();
    std::string runners;
    for (std::size_t i = 0; i < prepared_->runners().size(); ++i) {
      runners += (i == 0 ? "" : ", ") + RunnerText(group, index, i);
    }
    const std::string shape = JsonLine()
                                  .Add("group", group.name)
                                  .Add("tokens", group.shape.q_tokens)
                                  .Add("heads", group.shape.heads)
                                  .Add("head_dim", group.shape.head_dim)
                                  .text();
    return shape.substr(0, shape.size() - 1) + ", \"runners\": [" + runners + "]}";
  }

  std::string RunnerText(const SpeedGroup& group, std::size_t index, std::size_t i) const {
    const Runner& runner = prepared_->runners()[i];
    const kernels::gpu::Variant& variant = *runner.variant;
    JsonLine line;
    line.Add("mask", runner.item->mask)
        .Add("kernel", variant.name)
        .Add("q_block", variant.q_block)
        .Add("k_block", variant.k_block)
        .Add("pairs", runner.pairs)
        .Add("spot_error", runner.spot_error);
    if (variant.k_block > 1 && runner.item->mask != "dense") {
      const Blocks blocks = BlocksOf(variant, group.shape);
      const int heads = runner.item->same_for_heads ? 1 : group.shape.heads;
      Lists lists = runner.lists;
      lists.begin.resize(static_cast<std::size_t>(heads) * blocks.rows() + 1);
      const std::string path =
          fmt::format("{}/mask-{}-{}.npy", context_.results.folder(), index, i);
      WriteMask(path, {heads, blocks.rows(), blocks.cols()}, DenseMask(lists, blocks.cols()));
      line.Add("mask_file", path);
    }
    return line.text();
  }

  std::string Sample(std::size_t runner) {
    if (!prepared_ || runner >= prepared_->runners().size()) {
      Fail(ErrorCode::kInvalidArgument, "there is no runner {}", runner);
    }
    const auto reading = prepared_->Sample(prepared_->runners()[runner], context_);
    JsonLine line;
    line.Add("ns", reading.duration_ns);
    if (reading.clock_ratio) line.Add("clock_ratio", *reading.clock_ratio);
    return line.text();
  }

  Context& context_;
  std::vector<SpeedGroup> groups_;
  std::unique_ptr<PreparedGroup> prepared_;
};

}  // namespace

bool ServePeers(Context& context) {
  Server server(context);
  for (std::string request; std::getline(std::cin, request) && request != "quit";) {
    try {
      std::cout << server.Answer(request) << std::endl;
    } catch (const Error& error) {
      std::cout << JsonLine().Add("error", error.what()).text() << std::endl;
    }
  }
  return true;
}

}  // namespace dbsp::gpu_check
