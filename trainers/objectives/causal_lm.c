/* GPT's language modelling (Radford et al. 2018, section 3.1): each token of a run of one
 * document predicts the next, with the end token behind the document's last one. Nothing is
 * read before the first token, which is therefore not predicted: what Hugging Face computes
 * for labels equal to the inputs. For causal stacks that read tokens as they are. */
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEY_INPUTS_LENGTH("the end token")};

static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_need_token(o->row, o->vocabulary.eos, "an end token behind a document"));
  o->inputs_cap = o->config.inputs_length;
  o->cut.piece_tokens = o->inputs_cap - 1;
  o->cut.concatenate = false;
  return CZ_OK;
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  const cz_objective *o = self;
  const int64_t room = o->inputs_cap - 1, n = piece->n < room ? piece->n : room;
  cz_example_clear(out);
  CZ_TRY(cz_ids_append(&out->inputs, piece->ids, n));
  if (n && n == piece->n && piece->ends) CZ_TRY(cz_ids_add(&out->inputs, o->vocabulary.eos));
  if (out->inputs.len < 2) { /* nothing to predict */
    out->inputs.len = 0;
    return CZ_OK;
  }
  CZ_TRY(cz_ids_append(&out->labels, out->inputs.data + 1, (int64_t)out->inputs.len - 1));
  return cz_ids_add(&out->labels, CZ_NOT_COUNTED);
}

const cz_objective_row cz_objective_causal_lm = {
    .name = "causal_lm",
    .help = "each token predicts the next one, the last one of a document the end token; for "
            "GPT-2",
    .form = CZ_FORM_CAUSAL,
    .section = CZ_SECTION("objective", "causal language modelling of tokens as they are", keys),
    .solve = solve,
    .corrupt = corrupt,
};
