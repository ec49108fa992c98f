/* BERT's pretraining (Devlin et al. 2019, section 3.1; released file
 * create_pretraining_data.py): a piece of a document, cut in two at a random place, half of
 * the time with its second part replaced by a run of another document; the model says
 * whether the second part follows (class 0) or not (1), and predicts masked tokens
 * (masking.h). A run in the second part's place is as long as that part was, or all of a
 * shorter document, so that its length tells nothing. Pieces of fewer than two tokens are
 * left out. */
#include "device/random.h"
#include "objectives/keys.h"
#include "objectives/masking.h"

enum { AROUND = 3, SHORTEST = 2 };

static const cz_key_spec keys[] = {CZ_KEY_INPUTS_LENGTH("special tokens"),
                                   CZ_KEY_DENSITY("0.15", 0, 1), CZ_KEYS_MASKING};

static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_masking_check(o));
  o->inputs_cap = o->config.inputs_length;
  o->cut.piece_tokens = o->inputs_cap - AROUND;
  o->cut.concatenate = false;
  o->cut.other = true;
  if (o->cut.piece_tokens < SHORTEST)
    return CZ_FAIL(CZ_EUSAGE, "next_sentence: inputs_length %lld leaves no room for two texts",
                   (long long)o->inputs_cap);
  return CZ_OK;
}

/* Appends a text, the tokens before and behind it, and their type; BEFORE -1: none. */
static cz_status add_text(cz_example *e, int32_t before, const int32_t *ids, int64_t n,
                          int32_t behind, int32_t type) {
  if (before >= 0) CZ_TRY(cz_ids_add(&e->inputs, before));
  CZ_TRY(cz_ids_append(&e->inputs, ids, n));
  CZ_TRY(cz_ids_add(&e->inputs, behind));
  while (e->types.len < e->inputs.len) CZ_TRY(cz_ids_add(&e->types, type));
  e->text += n;
  return CZ_OK;
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  const cz_objective *o = self;
  const cz_vocabulary *v = &o->vocabulary;
  const cz_masking masking = cz_masking_of(o);
  const int64_t room = o->inputs_cap - AROUND, n = piece->n < room ? piece->n : room;
  cz_stream s;
  cz_example_clear(out);
  out->text = 0;
  if (n < SHORTEST) return CZ_OK;
  if (!piece->n_other)
    return CZ_FAIL(CZ_EINVAL, "next_sentence: a piece without a run of another document");
  cz_stream_init(&s, o->config.seed, "objective next sentence", piece->epoch, piece->index);
  const int64_t first = 1 + (int64_t)cz_stream_below(&s, (uint64_t)n - 1), second = n - first;
  const bool follows = cz_stream_below(&s, 2) == 0;
  CZ_TRY(add_text(out, v->cls, piece->ids, first, v->sep, 0));
  if (follows)
    CZ_TRY(add_text(out, -1, piece->ids + first, second, v->sep, 1));
  else
    CZ_TRY(add_text(out, -1, piece->other, piece->n_other < second ? piece->n_other : second,
                    v->sep, 1));
  CZ_TRY(cz_ids_add(&out->rows, 0));
  out->klass = follows ? 0 : 1;
  return cz_mask_example(&masking, out, piece->epoch, piece->index);
}

const cz_objective_row cz_objective_next_sentence = {
    .name = "next_sentence",
    .help = "reads two texts with some tokens masked, predicts those in place and whether the "
            "second text follows the first; for BERT",
    .form = CZ_FORM_MASKED,
    .section = CZ_SECTION("objective", "masked language modelling with next sentence", keys),
    .solve = solve,
    .corrupt = corrupt,
};
