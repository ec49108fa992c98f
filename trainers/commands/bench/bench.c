/* `cloze bench`: its manual, and which of them is asked for. */
#include "commands/bench/bench.h"
#include "base/args.h"
#include "device/help.h"

#include <string.h>

const char cz_bench_usage[] =
    "cloze bench step [--model M] [--device D] [--precision P] [--segments N] [--inputs N] "
    "[--targets N] [--steps N] [--optimizer O] [--recompute] [--unwaited] [--json]\n"
    "cloze bench step --task pet [--model M] [--score] [--device D] [--precision P] [--steps N] "
    "[--optimizer O] [--recompute] [--unwaited] [--json]\n"
    "cloze bench kernels [--device D] [--precision P] [--op NAME] [--shapes FILE] [--repeats N] "
    "[--json]\n"
    "cloze bench objectives [--model M] [--device D] [--tokens N] [--json]\n"
    "cloze bench tokenize FILE_OR_DIR [--text FILE] [--repeats N] [--json]\n"
    "  --device D      " CZ_DEVICE_HELP "\n"
    "step: a training step on random tokens beside the matrix-product rate that the same run "
    "measures before and after each step; medians.\n"
    "  --model M       t5-small (default), t5-v1_1-small, ...; --precision f32 (default) or "
    "bf16, also called --dtype\n"
    "  --segments N    examples in a batch (default 8) of --inputs (512) and --targets (114) "
    "tokens; --steps N measured steps (default 5)\n"
    "  --optimizer O   adamw (default), or one of"
#define CZ_OPTIMIZER(id, name, ...) " " #name
#include "training/optimizers.def"
#undef CZ_OPTIMIZER
    "\n"
    "  --unwaited      steps as training makes them, without a wait for each and without products "
    "between them; beside them the device's time alone, the host's to submit a step, and for which "
    "share of a step the device waits for the host\n"
    "  --task pet      a member's step in PET: 16 texts of 20, 25, 29, 34, 38, 43, 47, 52, 56, 61, "
    "65, 70, 74, 79, 84 and 88 tokens, 865 in all, none of them padding, with a mask each; a word "
    "for each of five labels, the model's dropout, AdamW with weight decay and clipping. --model "
    "is "
    "roberta-base, or another with a masked-LM head; --segments, --inputs and --targets have no "
    "say\n"
    "  --score         with --task: 512 texts of these lengths are scored in place of the step, as "
    "members score, longest first and 4096 tokens at once; step_seconds is the time of all\n"
    "  JSON keys: model, task, device, texts, tokens, steps, step_seconds, tokens_per_s, "
    "gflop_per_s, ceiling_gflop_per_s, ceiling_by, share, "
    "init_seconds (drawing the parameters), start_seconds (to the first step), peak_rss_bytes, "
    "waited (the part of its threads' time that others had the cores: above 0.05 no rate says "
    "much), precision, path, isa, cpu, by_op\n"
    "kernels: each op alone, forward and backward, at the sizes of FILE "
    "(experiments/bench/kernels.json): bytes that it has to move and FLOPs over its time, beside "
    "the rates of a copy and of plain products that are measured in turns with it; "
    "medians.\n"
    "  --precision P   f32 (default), bf16 where the device computes in it; --repeats N (default "
    "5)\n"
    "  --shapes FILE   JSON, lists of entries by a set's name; an entry has op, a name, the sizes "
    "of that op (rows, width, ...), and added: true where backward is to add to the gradients of "
    "weights, as behind another op that has written them\n"
    "objectives: for every objective at one token budget: mean lengths, FLOPs, step time, tokens "
    "and examples per second, peak memory\n"
    "(worked out from what a step allocates, not measured). Lengths are means over thousands of "
    "pieces; the timed batch is near them.\n"
    "  --model M       t5-small (default), ...; objectives without inputs train the lm-* of its "
    "size\n"
    "  --tokens N      raw tokens of a batch (default 4096)\n"
    "tokenize: MB/s of one thread, lines of a text to ids; median, with an empty word cache each "
    "time\n"
    "  --text FILE     UTF-8; without it 8 MB are generated: 20,000 words of one to four "
    "syllables, "
    "word r as often as 1 / (r + 3), with capitals, punctuation, numbers and some accents, in "
    "lines "
    "of 8 to 64\n"
    "  --repeats N     (default 5); JSON keys: tokenizer, text, bytes, lines, tokens, repeats, "
    "seconds, mb_per_s, mb_per_processor_s\n";

/** The command `cloze bench`; its usage says what it measures. */
cz_status cz_command_bench(int argc, char **argv) {
  if (argc < 2) return CZ_FAIL(CZ_EUSAGE, "bench: step, kernels, objectives or tokenize?");
  if (!strcmp(argv[1], "step")) return cz_bench_step(argc - 1, argv + 1);
  if (!strcmp(argv[1], "kernels")) return cz_bench_kernels(argc - 1, argv + 1);
  if (!strcmp(argv[1], "objectives")) return cz_bench_objectives(argc - 1, argv + 1);
  if (!strcmp(argv[1], "tokenize")) return cz_bench_tokenize(argc - 1, argv + 1);
  return CZ_FAIL(CZ_EUSAGE, "bench: there are step, kernels, objectives and tokenize, no '%s'",
                 argv[1]);
}
