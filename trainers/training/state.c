#include "training/state.h"
#include "checkpoint/checkpoint.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Under which name a checkpoint holds each of them, so that neither order nor layout of
 * the struct matters. */
static const struct {
  const char *name;
  size_t offset;
} ints[] = {{"step", offsetof(cz_state, step)},
            {"skipped", offsetof(cz_state, skipped)},
            {"skipped_in_a_row", offsetof(cz_state, skipped_in_a_row)},
            {"input_tokens", offsetof(cz_state, input_tokens)},
            {"target_tokens", offsetof(cz_state, target_tokens)},
            {"examples", offsetof(cz_state, examples)},
            {"examples_cut", offsetof(cz_state, examples_cut)},
            {"text_tokens", offsetof(cz_state, text_tokens)},
            {"input_sum", offsetof(cz_state, input_sum)},
            {"target_sum", offsetof(cz_state, target_sum)}},
  reals[] = {{"smooth_loss", offsetof(cz_state, smooth_loss)},
             {"last_loss", offsetof(cz_state, last_loss)}};
enum {
  N_INTS = sizeof ints / sizeof *ints,
  N_REALS = sizeof reals / sizeof *reals,
  CURSOR_FIELDS = 4
};

static cz_status save_counters(const cz_state *s, cz_checkpoint_writer *w) {
  const uint64_t cursor[CURSOR_FIELDS] = {s->cursor.epoch, s->cursor.index, s->cursor.taken,
                                          s->cursor.batches};
  const int64_t n = CURSOR_FIELDS;
  const char *at = (const char *)s;
  for (int i = 0; i < N_INTS; i++)
    CZ_TRY(cz_checkpoint_put_int(w, ints[i].name, *(const int64_t *)(at + ints[i].offset)));
  for (int i = 0; i < N_REALS; i++)
    CZ_TRY(cz_checkpoint_put_real(w, reals[i].name, *(const double *)(at + reals[i].offset)));
  return cz_checkpoint_put(w, "cursor", CZ_CHECKPOINT_U64, cursor, &n, 1);
}

/* A count that an older program did not keep would be too small from here on, so its
 * checkpoint is refused and not read as 0. */
static cz_status load_count(int64_t *at, cz_checkpoint *c, const char *name) {
  if (cz_checkpoint_find(c, name)) return cz_checkpoint_get_int(c, at, name);
  return CZ_FAIL(
      CZ_EINVAL,
      "%s: the program that wrote it did not count %s, and this one does: start again in "
      "an empty folder",
      cz_checkpoint_path(c), name);
}

static cz_status load_counters(cz_state *s, cz_checkpoint *c) {
  uint64_t cursor[CURSOR_FIELDS];
  const int64_t n = CURSOR_FIELDS;
  char *at = (char *)s;
  for (int i = 0; i < N_INTS; i++)
    CZ_TRY(load_count((int64_t *)(at + ints[i].offset), c, ints[i].name));
  for (int i = 0; i < N_REALS; i++)
    CZ_TRY(cz_checkpoint_get_real(c, (double *)(at + reals[i].offset), reals[i].name));
  CZ_TRY(cz_checkpoint_get(c, cursor, "cursor", CZ_CHECKPOINT_U64, &n, 1));
  s->cursor = (cz_cursor){.epoch = (uint32_t)cursor[0],
                          .index = cursor[1],
                          .taken = (uint32_t)cursor[2],
                          .batches = cursor[3]};
  return CZ_OK;
}

/* A text is an array of bytes. */
static cz_status save_text(cz_checkpoint_writer *w, const char *name, const char *text) {
  const int64_t n = (int64_t)strlen(text);
  return cz_checkpoint_put(w, name, CZ_CHECKPOINT_BYTES, text, &n, 1);
}

/* An empty one from checkpoints of before it was stored. */
static cz_status load_text(char text[CZ_PROCESSOR_BYTES], cz_checkpoint *c, const char *name) {
  const cz_checkpoint_entry *e = cz_checkpoint_find(c, name);
  *text = '\0';
  if (!e) return CZ_OK;
  if (e->elements >= CZ_PROCESSOR_BYTES)
    return CZ_FAIL(CZ_ECORRUPT, "%s: '%s' has %llu bytes, at most %d are right",
                   cz_checkpoint_path(c), name, (unsigned long long)e->elements,
                   CZ_PROCESSOR_BYTES - 1);
  const int64_t n = (int64_t)e->elements;
  text[n] = '\0';
  return cz_checkpoint_get(c, text, name, CZ_CHECKPOINT_BYTES, &n, 1);
}

/* The precision that C was trained in, which must be the run's or the one that the run says it
 * began in. Checkpoints that do not say are of float32. */
static cz_status load_precision(cz_precision *precision, cz_checkpoint *c, const cz_state_of *of) {
  char text[CZ_PROCESSOR_BYTES];
  *precision = CZ_PRECISION_F32;
  CZ_TRY(load_text(text, c, "precision"));
  if (*text && cz_precision_find(precision, text) != CZ_OK)
    return CZ_FAIL(CZ_ECORRUPT, "%s: 'precision' is '%s'", cz_checkpoint_path(c), text);
  if (*precision == of->precision || *precision == of->began_in) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "%s: trained in %s, and this run is to train in %s; to go on in another precision "
                 "set train.began_in: %s",
                 cz_checkpoint_path(c), cz_precision_names[*precision],
                 cz_precision_names[of->precision], cz_precision_names[*precision]);
}

/** What a checkpoint of PARAMS, which may be without memory, and of STATE bytes of an optimizer
 * stores (cz_checkpoint_bytes). */
uint64_t cz_state_bytes(const cz_params *params, uint64_t state) {
  enum { SETS = 3 }; /* of a parameter at most: itself and two of the optimizer */
  return cz_checkpoint_bytes(cz_params_bytes(params) + state, SETS * params->n);
}

/** Writes parameters, optimizer and STATE as the newest checkpoint of the folder. Every
 * rank holds the same state, so one of them saves. Local. */
cz_status cz_state_save(const cz_state *state, const cz_state_of *of) {
  const cz_params *p = of->params;
  cz_checkpoint_writer *w;
  cz_status st;
  CZ_TRY(cz_checkpoint_begin(&w, of->folder, of->config_hash,
                             cz_state_bytes(p, cz_optimizer_bytes(of->optimizer))));
  CZ_GO(st, cz_checkpoint_put_params(w, "parameters", p, p->values), fail);
  CZ_GO(st, save_counters(state, w), fail);
  CZ_GO(st, cz_optimizer_save(of->optimizer, w), fail);
  CZ_GO(st, save_text(w, "processor", p->device->processor), fail);
  CZ_GO(st, save_text(w, "precision", cz_precision_names[of->precision]), fail);
  return cz_checkpoint_commit(&w);
fail:
  cz_checkpoint_discard(&w);
  return st;
}

/** Reads what cz_state_save wrote, when the folder holds a checkpoint. ORIGIN says which file and
 * where it was computed; its path is empty when there is none: then nothing is changed. CZ_EINVAL
 * for a file of another configuration or model, CZ_EUSAGE for one of a precision that OF does not
 * name. Local: every rank reads the file. */
cz_status cz_state_load(cz_state *state, cz_state_origin *origin, const cz_state_of *of) {
  cz_checkpoint *c;
  cz_status st;
  *origin = (cz_state_origin){0};
  if (!cz_checkpoint_exists(of->folder)) return CZ_OK;
  CZ_TRY(cz_checkpoint_open(&c, of->folder));
  CZ_GO(st, cz_checkpoint_check_config(c, of->config_hash), done);
  CZ_GO(st, load_precision(&origin->precision, c, of), done);
  CZ_GO(st, cz_checkpoint_get_params(c, "parameters", of->params, of->params->values), done);
  cz_params_values_written(of->params);
  CZ_GO(st, load_counters(state, c), done);
  CZ_GO(st, cz_optimizer_load(of->optimizer, c), done);
  CZ_GO(st, load_text(origin->processor, c, "processor"), done);
  snprintf(origin->path, sizeof origin->path, "%s", cz_checkpoint_path(c));
done:
  cz_checkpoint_close(&c);
  return st;
}
