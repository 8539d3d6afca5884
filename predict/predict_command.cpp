// SPDX-License-Identifier: Apache-2.0
#include "predict/predict_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/fine_mask.h"
#include "core/output.h"
#include "kernels/sla.h"
#include "planner/workload/mask_axes.h"
#include "planner/workload/mask_source.h"
#include "predict/predictors.h"
#include "predict/tensor_dump.h"

namespace dbsp::predict {
namespace {

namespace fs = std::filesystem;

/// Most bytes of lists, as bits, that are held at a time.
constexpr std::int64_t kMaxBytes = std::int64_t{4} << 30;
/// Query rows of each head whose exact softmax the report computes.
constexpr std::int64_t kReportRows = 256;

DumpRequest RequestOf(const PredictFlags& flags, const std::string& name) {
  DumpRequest request{name, flags.axes, flags.batch, {}, {}, {}, {}};
  const planner::MakeFlags& shape = flags.shape;
  request.steps = shape.steps;
  request.layers = shape.layers;
  request.heads = shape.heads;
  request.tokens = shape.tokens;
  if (!shape.model && !shape.grid) return request;
  planner::MakeFlags known = shape;
  if (!known.model && !known.heads) known.heads = 1;
  const ModelShape model = planner::ShapeOf(known);
  request.tokens = model.tokens();
  if (!shape.model) return request;
  request.steps = model.steps;
  request.layers = model.layers;
  request.heads = model.heads;
  return request;
}

void RequireEqualDumps(const TensorDump& q, const TensorDump& k) {
  bool equal = q.steps() == k.steps();
  for (const char letter : std::string("TLHSD")) equal = equal && q.Size(letter) == k.Size(letter);
  if (equal) return;
  Fail(
      ErrorCode::kMismatch,
      "{} with axes {} {}, but {} with axes {} {}; expected Q and K of equal steps, layers, heads, "
      "tokens and head dimension",
      q.subject(),
      q.letters(),
      ShapeText(q.shape()),
      k.subject(),
      k.letters(),
      ShapeText(k.shape()));
}

/// The model of the flags, whose open values are those of the dump.
ModelShape ModelOf(const PredictFlags& flags, const TensorDump& q) {
  planner::MakeFlags shape = flags.shape;
  const auto set = [&](std::optional<int>& flag, char letter, const char* name) {
    const std::int64_t size = q.Size(letter);
    if (size > 1 << 20) {
      Fail(ErrorCode::kInvalidArgument, "{}: {} {}, at most {}", q.subject(), size, name, 1 << 20);
    }
    if (!flag && !shape.model) flag = static_cast<int>(size);
  };
  set(shape.heads, 'H', "heads");
  set(shape.head_dim, 'D', "channels");
  set(shape.layers, 'L', "layers");
  const bool numbered = !q.steps().empty() && q.steps().back() < 1 << 20;
  if (numbered && !shape.steps && !shape.model) {
    shape.steps = static_cast<int>(q.steps().back()) + 1;
  }
  set(shape.steps, 'T', "steps");
  if (!shape.passes && !shape.model) shape.passes = 1;
  if (!shape.tokens && !shape.grid && !shape.model) shape.tokens = q.Size('S');
  ModelShape model = planner::ShapeOf(shape);
  const auto require = [&](const char* what, std::int64_t expected, char letter) {
    if (q.Size(letter) == expected) return;
    Fail(ErrorCode::kMismatch,
         "{}: shape {} with axes {} has {} {}, expected {} of the model; check --model, --axes and "
         "the shape flags",
         q.subject(),
         ShapeText(q.shape()),
         q.letters(),
         q.Size(letter),
         what,
         expected);
  };
  require("heads", model.heads, 'H');
  require("channels per head", model.head_dim, 'D');
  require("tokens", model.tokens(), 'S');
  if (q.Size('L') > 1) require("layers", model.layers, 'L');
  if (q.Size('T') > model.steps || (numbered && q.steps().back() >= model.steps)) {
    Fail(ErrorCode::kMismatch,
         "{}: shape {} with axes {} has steps beyond the {} of the model; give --steps",
         q.subject(),
         ShapeText(q.shape()),
         q.letters(),
         model.steps);
  }
  model.name = planner::NameFor(flags.shape, model);
  return model;
}

/// Entry over the steps of the dump whose Q and K give the lists of a step.
std::int64_t EntryOf(const TensorDump& q, int step, int every, int steps) {
  const int made = step / every * every;
  if (q.steps().empty()) return TimeOfStep(made, steps, q.Size('T'));
  const auto after = std::ranges::upper_bound(q.steps(), made);  // the last step up to `made`
  return after - q.steps().begin() - 1;
}

/// What the report is made of.
struct Report {
  FineCounts counts;
  Recall recall;
  double lowest = 2;  ///< mean recall of one head
  std::string where;
};

struct Lists {
  Array bits;  ///< u1 [masks, lists, ceil(tokens / 8)]
  Array index;  ///< i4 [steps or 1, layers or 1, heads]
};

void CopyBits(const BlockMask& mask, char* to) {
  const std::int64_t wide = (mask.cols() + 7) / 8;
  for (int i = 0; i < mask.rows(); ++i, to += wide) {
    for (std::int64_t b = 0; b < wide; ++b) {
      to[b] = static_cast<char>(mask.row(i)[static_cast<std::size_t>(b) / 8] >> (8 * (b % 8)));
    }
  }
}

Lists Predict(const PredictFlags& flags,
              const Predictor& predictor,
              const TensorDump& q,
              const TensorDump& k,
              const ModelShape& model,
              Report& report) {
  std::vector<std::int64_t> entries;  // of every step
  for (int step = 0; step < model.steps; ++step) {
    entries.push_back(EntryOf(q, step, flags.every, model.steps));
  }
  std::vector<std::int64_t> used = entries;
  used.erase(std::unique(used.begin(), used.end()), used.end());
  const std::int64_t layers = q.Size('L');
  const std::int64_t lists = (model.tokens() + flags.queries - 1) / flags.queries;
  const std::int64_t bytes = lists * ((model.tokens() + 7) / 8);
  const std::int64_t masks = static_cast<std::int64_t>(used.size()) * layers * model.heads;
  if (masks > kMaxBytes / bytes) {
    Fail(
        ErrorCode::kInvalidArgument,
        "{}: the lists of {} steps and {} layers take {} MB as bits, at most {} MB at a time; give "
        "--every, or dumps of fewer layers",
        q.subject(),
        used.size(),
        layers,
        masks * bytes >> 20,
        kMaxBytes >> 20);
  }
  const bool one_step = used.size() == 1;
  Lists result{MakeArray(ArrayType::kU1, {masks, lists, (model.tokens() + 7) / 8}),
               MakeArray(ArrayType::kI4, {one_step ? 1 : model.steps, layers, model.heads})};
  const auto scale = static_cast<float>(
      flags.scale > 0 ? flags.scale : 1 / std::sqrt(static_cast<double>(model.head_dim)));
  std::int64_t mask = 0;
  for (const std::int64_t entry : used) {
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      for (int head = 0; head < model.heads; ++head, ++mask) {
        const std::vector<float> queries = q.Head(entry, layer, head);
        const std::vector<float> keys = k.Head(entry, layer, head);
        const kernels::ScoreInput input{queries, keys, model.head_dim, scale};
        const BlockMask fine = PredictKeys(input, flags.queries, predictor, flags.threads);
        CopyBits(fine, result.bits.bytes.data() + mask * bytes);
        if (!flags.report) continue;
        report.counts.Add(fine, flags.queries);
        const Recall recall = RecallOf(input, fine, flags.queries, kReportRows, flags.threads);
        report.recall.sum += recall.sum;
        report.recall.rows += recall.rows;
        if (recall.mean() >= report.lowest) continue;
        report.lowest = recall.mean();
        report.where = fmt::format("step entry {}, layer {}, head {}", entry, layer, head);
      }
    }
  }
  char* to = result.index.bytes.data();
  for (int step = 0; step < (one_step ? 1 : model.steps); ++step) {
    const auto at = std::ranges::lower_bound(used, entries[static_cast<std::size_t>(step)]);
    const auto first = static_cast<std::int32_t>((at - used.begin()) * layers * model.heads);
    for (std::int32_t i = 0; i < layers * model.heads; ++i, to += sizeof i) {
      const std::int32_t number = first + i;
      std::memcpy(to, &number, sizeof number);
    }
  }
  return result;
}

/// Classes of blocks, i1 [steps or 1, layers, heads, query blocks, key blocks].
Array PredictClasses(const PredictFlags& flags,
                     const Predictor& predictor,
                     const TensorDump& q,
                     const TensorDump& k,
                     const Workload& workload) {
  const ModelShape& model = workload.model;
  const AttentionShape shape = workload.shape();
  const std::int64_t blocks = static_cast<std::int64_t>(shape.q_blocks()) * shape.k_blocks();
  const int steps = q.Size('T') == 1 ? 1 : model.steps;
  const std::int64_t layers = q.Size('L');
  if (steps * layers * model.heads > kMaxBytes / blocks) {
    Fail(
        ErrorCode::kInvalidArgument,
        "{}: the classes of {} steps and {} layers take {} MB, at most {} MB at a time; give dumps "
        "of fewer layers",
        q.subject(),
        steps,
        layers,
        steps * layers * model.heads * blocks >> 20,
        kMaxBytes >> 20);
  }
  Array classes =
      MakeArray(ArrayType::kI1, {steps, layers, model.heads, shape.q_blocks(), shape.k_blocks()});
  const std::int64_t of_step = layers * model.heads * blocks;
  const auto tokens = static_cast<int>(model.tokens());
  char* to = classes.bytes.data();
  for (int step = 0; step < steps; ++step) {
    const std::int64_t entry = EntryOf(q, step, flags.every, model.steps);
    if (step > 0 && entry == EntryOf(q, step - 1, flags.every, model.steps)) {
      std::memcpy(to, to - of_step, static_cast<std::size_t>(of_step));
      to += of_step;
      continue;
    }
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      for (int head = 0; head < model.heads; ++head) {
        const auto pool = [&](const TensorDump& dump, int block) {
          return kernels::MeanPool(dump.Head(entry, layer, head), tokens, model.head_dim, block);
        };
        const kernels::SlaBlocks found =
            kernels::ClassifyBlocks(pool(q, shape.block.q),
                                    pool(k, shape.block.k),
                                    model.head_dim,
                                    {predictor.value, predictor.negligible});
        for (int i = 0; i < shape.q_blocks(); ++i) {
          for (int j = 0; j < shape.k_blocks(); ++j) {
            *to++ = static_cast<char>(found.critical.Get(i, j)   ? 1
                                      : found.marginal.Get(i, j) ? 0
                                                                 : -1);
          }
        }
      }
    }
  }
  return classes;
}

std::string ReportText(const Report& report, const PredictFlags& flags, std::int64_t rows) {
  std::string text = fmt::format(
      "recall of softmax mass: mean {:.4f}, lowest head {:.4f} ({}); exact, over {} of {} query "
      "rows\n{:<10}{:>8}{:>15}\n",
      report.recall.mean(),
      report.lowest,
      report.where,
      report.recall.rows,
      rows,
      "blocks",
      "kept",
      "speedup bound");
  const auto line = [&](const std::string& blocks, double share) {
    text += fmt::format("{:<10}{:>8.4f}{:>15}\n",
                        blocks,
                        share,
                        share > 0 ? fmt::format("{:.2f}x", 1 / share) : "none kept");
  };
  line(fmt::format("{}x1", flags.queries), report.counts.key_share());
  line("64x64", report.counts.share64());
  line("128x128", report.counts.share128());
  return text;
}

/// What was read and assumed.
std::vector<std::string> NotesOf(const PredictFlags& flags,
                                 const TensorDump& q,
                                 const TensorDump& k,
                                 const ModelShape& model) {
  std::vector<std::string> notes{"Q of " + q.Text(), "K of " + k.Text()};
  if (q.Size('T') == 1 && model.steps > 1) {
    notes.emplace_back("one step is dumped; its lists hold for all steps");
  } else if (!q.steps().empty() && q.Size('T') < model.steps) {
    notes.emplace_back("steps that are not dumped have the lists of the last dumped step before");
  } else if (q.Size('T') < model.steps) {
    notes.push_back(
        fmt::format("{} entries are dumped for {} steps: step s has entry floor(s {} / {})",
                    q.Size('T'),
                    model.steps,
                    q.Size('T'),
                    model.steps));
  }
  if (flags.every > 1) {
    notes.push_back(
        fmt::format("lists are made at every {}th step and hold until the next ones", flags.every));
  }
  if (q.Size('L') == 1 && model.layers > 1) {
    notes.emplace_back("one layer is dumped; its lists hold for all layers");
  }
  if (flags.scale == 0) notes.emplace_back("scores are scaled by 1 / sqrt(head dimension)");
  return notes;
}

/// Removes a file that the tool has made, unless Keep() was called.
class MadeFile {
 public:
  explicit MadeFile(fs::path path) : path_(std::move(path)) {
    std::error_code unknown;
    keep_ = fs::exists(path_, unknown);
  }
  ~MadeFile() {
    std::error_code unknown;
    if (!keep_) fs::remove(path_, unknown);
  }
  MadeFile(const MadeFile&) = delete;
  MadeFile& operator=(const MadeFile&) = delete;
  void Keep() { keep_ = true; }

 private:
  fs::path path_;
  bool keep_ = false;
};

}  // namespace

void PredictWorkload(const PredictFlags& flags) {
  const Predictor predictor = ParsePredictor(flags.predictor);
  const fs::path& output = flags.shape.output;
  if (IsStandardOutput(output)) {
    Fail(ErrorCode::kInvalidArgument,
         "-o {}: the lists are written beside the workload; expected the name of a file",
         output.string());
  }
  const bool sla = predictor.kind == PredictorKind::kSla;
  if (sla && flags.report) {
    Fail(ErrorCode::kInvalidArgument,
         "--report: describes lists of keys, and --predictor sla: makes "
         "classes of blocks; leave --report out, 'dbsp-workload info' prints the shares");
  }
  fs::path masks = output;
  masks.replace_extension();
  masks += sla ? ".classes.safetensors" : ".keys.safetensors";
  const OpenOutputs open = CheckOutputs({{"-o", output}, {"-o", masks}},
                                        {{"the file of Q", flags.q}, {"the file of K", flags.k}});
  const TensorDump q(flags.q, TensorRole::kQuery, RequestOf(flags, flags.q_name));
  const TensorDump k(flags.k, TensorRole::kKey, RequestOf(flags, flags.k_name));
  RequireEqualDumps(q, k);
  Workload workload;
  workload.model = ModelOf(flags, q);
  workload.block = flags.shape.block ? planner::ParseBlock(*flags.shape.block)
                   : sla             ? BlockSize{128, 64}
                                     : BlockSize{};
  workload.directory = output.parent_path();
  planner::RequireBlockLimit(workload);
  Report report;
  MadeFile made(masks);
  std::map<std::string, std::string> options{{"file", masks.string()}};
  if (sla) {
    options.insert({{"axes", "TLHQK"}, {"sla", "1"}});
    WriteSafetensors(masks, {{"classes", PredictClasses(flags, predictor, q, k, workload)}});
  } else {
    options.insert({{"axes", "TLHQK"}, {"queries", std::to_string(flags.queries)}});
    Lists lists = Predict(flags, predictor, q, k, workload.model, report);
    WriteSafetensors(
        masks, {{"mask_bits", std::move(lists.bits)}, {"mask_index", std::move(lists.index)}});
  }
  const std::string name = workload.model.name;
  const std::vector<std::string> more = planner::ApplyArrayRule(options, workload);
  workload.model.name = name;
  std::vector<std::string> notes = NotesOf(flags, q, k, workload.model);
  notes.insert(notes.end(), more.begin(), more.end());
  planner::FinishWorkload(workload,
                          output,
                          notes,
                          fmt::format("of {} by {}", masks.filename().string(), flags.predictor));
  made.Keep();
  if (flags.report) {
    const std::int64_t rows = report.counts.all_keys == 0
                                  ? 0
                                  : q.Size('S') * (report.counts.all_keys / q.Size('S')) /
                                        ((q.Size('S') + flags.queries - 1) / flags.queries);
    WriteSummary(output, ReportText(report, flags, rows));
  }
}

planner::WorkloadCommand PredictCommand() {
  auto flags = std::make_shared<PredictFlags>();
  planner::WorkloadCommand command;
  command.add = [flags](CLI::App& app) {
    CLI::App* predict = app.add_subcommand(
        "predict", "Make a workload of lists of single keys from dumped Q and K");
    const char* const input = "Input";
    predict->add_option("--q", flags->q, "Array file of Q")->required()->group(input);
    predict->add_option("--k", flags->k, "Array file of K")->required()->group(input);
    predict->add_option("--q-name", flags->q_name, "Array or series of Q in its file")
        ->group(input);
    predict->add_option("--k-name", flags->k_name, "Array or series of K in its file")
        ->group(input);
    predict
        ->add_option(
            "--axes",
            flags->axes,
            "Letters of the axes: T steps, L layers, B batch, H heads, S tokens, D channels "
            "(default: by names and sizes)")
        ->group(input);
    predict->add_option("--batch", flags->batch, "Entry of axis B, from 0")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 20))
        ->group(input);
    const char* const lists = "Lists";
    predict
        ->add_option(
            "--predictor",
            flags->predictor,
            "threshold:X keeps probabilities above X / tokens, cdf:X the mass X of the mean "
            "query, oracle:X the mass X of all queries; sla:C,N makes classes of blocks")
        ->required()
        ->group(lists);
    predict->add_option("--queries", flags->queries, "Queries per list")
        ->check(CLI::IsMember({64, 128}))
        ->capture_default_str()
        ->group(lists);
    predict->add_option("--every", flags->every, "Make lists at every N-th step")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str()
        ->group(lists);
    predict->add_option("--scale", flags->scale, "Scale of the scores (default 1 / sqrt(channels))")
        ->check(CLI::Range(1e-9, 1e9))
        ->group(lists);
    predict->add_option("--threads", flags->threads, "Threads (default: all of the machine)")
        ->check(CLI::Range(1, 4096))
        ->group(lists);
    planner::AddModelFlags(*predict, flags->shape);
    predict->add_option("--block", flags->shape.block, "Block size QxK of the block masks")
        ->group(lists);
    predict
        ->add_flag("--report",
                   flags->report,
                   "Print the softmax mass that is kept, and kept shares of lists and blocks")
        ->group("Output");
    predict
        ->add_option("-o,--output",
                     flags->shape.output,
                     "Workload file to write; its lists are written beside it")
        ->required()
        ->group("Output");
    predict->footer(
        "Examples:\n"
        "  dbsp-workload predict --q q.npy --k k.npy --predictor threshold:0.5 -o w.json\n"
        "  dbsp-workload predict --q qk.safetensors --k qk.safetensors --predictor cdf:0.9 "
        "--every 10 --report -o w.json");
    return predict;
  };
  command.run = [flags] { PredictWorkload(*flags); };
  return command;
}

}  // namespace dbsp::predict
