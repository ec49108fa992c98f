/* `cloze show`: words into a request. */
#include "commands/commands.h"
#include "base/number.h"
#include "experiment/show.h"

#include <stdio.h>

const char cz_show_usage[] =
    "cloze show FILE [--scale S] [--seeds N] [--cost [--gflops X] [--gpu-gflops X]] [--json] "
    "[key=value ...]\n"
    "What an experiment file would do: its rows with the paper's values, its stages and which of "
    "them rows share, its columns. All of it is checked "
    "as\n"
    "cloze run does; files that are not there yet are listed.\n"
    "  --cost        also what each row costs for one seed: tokens, FLOPs and predicted hours, "
    "here "
    "and on a GPU, of training and, apart, of the texts that few-shot stages score; what "
    "`evaluate` writes comes on top\n"
    "  --gflops X    the rate that training keeps up, GFLOP/s; default: three quarters of what "
    "matrix products reach on this machine now\n"
    "  --gpu-gflops X  a GPU's; default: the least time that a PET step can take on an H200, by "
    "what "
    "is counted of its kernels\n";

static cz_status parse(cz_show_request *r, int argc, char **argv) {
  const char *seeds = NULL, *gflops = NULL, *card = NULL;
  const cz_option options[] = {{"--scale", &r->scale, NULL}, {"--seeds", &seeds, NULL},
                               {"--gflops", &gflops, NULL},  {"--gpu-gflops", &card, NULL},
                               {"--cost", NULL, &r->cost},   {"--json", NULL, &r->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, cz_show_usage));
  r->file = argv[1];
  r->words = argv + 2;
  r->n_words = (size_t)argc - 2;
  if (seeds && (cz_parse_int(seeds, &r->seeds) != CZ_OK || r->seeds < 1 || r->seeds > 1000))
    return CZ_FAIL(CZ_EUSAGE, "--seeds: '%s' is not between 1 and 1000", seeds);
  if (gflops && (cz_parse_real(gflops, &r->rate) != CZ_OK || !(r->rate > 0)))
    return CZ_FAIL(CZ_EUSAGE, "--gflops: '%s' is not a rate above 0", gflops);
  if (card && (cz_parse_real(card, &r->card) != CZ_OK || !(r->card > 0)))
    return CZ_FAIL(CZ_EUSAGE, "--gpu-gflops: '%s' is not a rate above 0", card);
  return CZ_OK;
}

/** The command `cloze show`; its usage says what it prints. */
cz_status cz_command_show(int argc, char **argv) {
  cz_show_request r = {0};
  cz_buf text = {0}, missing = {0};
  CZ_TRY(parse(&r, argc, argv));
  cz_status st = cz_experiment_show(&text, &missing, &r);
  if (st == CZ_OK) fputs(text.data, stdout);
  fflush(stdout); /* before what follows on standard error, where both are one file */
  if (st == CZ_OK && missing.len)
    fprintf(stderr, "\na run wants these files, which are not there yet:\n%s", missing.data);
  cz_buf_free(&text);
  cz_buf_free(&missing);
  return st;
}
