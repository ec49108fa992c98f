#include "few_shot/generation.h"
#include "base/fs.h"
#include "base/log.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

/** Reads the scores that the members PLANS [n] of the stage in FOLDER have left of the texts of E,
 * which is borrowed. CZ_EIO for a member that is not there, CZ_ECORRUPT for other texts. Free with
 * cz_generation_free, also after a failure. */
cz_status cz_generation_read(cz_generation *g, const cz_examples *e, const char *folder,
                             const cz_member_plan *plans, size_t n) {
  *g = (cz_generation){.examples = e};
  CZ_TRY(cz_alloc(&g->scores, n, sizeof *g->scores));
  CZ_TRY(cz_alloc(&g->on_t, n, sizeof *g->on_t));
  CZ_TRY(cz_alloc(&g->on_d, n + 1, sizeof *g->on_d)); /* cz_generation_texts needs one more */
  CZ_TRY(cz_alloc(&g->on_test, n, sizeof *g->on_test));
  for (; g->n < n; g->n++) {
    char path[4096];
    const cz_member_plan *p = &plans[g->n];
    cz_member_scores *s = &g->scores[g->n];
    CZ_TRY(cz_member_folder(path, sizeof path, folder, p));
    cz_status st = cz_member_scores_read(s, e, path);
    if (st != CZ_OK) return cz_member_scores_free(s), st;
    /* a plain text has no pattern, and is a class of its own */
    const cz_member m = {.pattern = p->pattern < 0 ? 0 : p->pattern,
                         .repetition = p->repetition,
                         .accuracy = s->before_training};
    g->on_t[g->n] = g->on_d[g->n] = g->on_test[g->n] = m;
    g->on_t[g->n].scores = s->t;
    g->on_d[g->n].scores = s->d;
    g->on_test[g->n].scores = s->test;
  }
  return CZ_OK;
}

/** The members' scores on SET, one of the examples' three. */
cz_ensemble cz_generation_on(const cz_generation *g, const cz_text_set *set) {
  const cz_examples *e = g->examples;
  return (cz_ensemble){.members = set == &e->t   ? g->on_t
                                  : set == &e->d ? g->on_d
                                                 : g->on_test,
                       .n_members = g->n,
                       .n = set->n,
                       .classes = e->classes};
}

/** *WEIGHTS [members] by WEIGHTING on T, which the caller frees; warns where they come out even.
 * Errors as cz_ensemble_weights. */
cz_status cz_generation_weights(double **weights, const cz_generation *g, cz_weighting weighting,
                                cz_fidelity fidelity) {
  const cz_ensemble e = cz_generation_on(g, &g->examples->t);
  bool even = false;
  CZ_TRY(cz_alloc(weights, g->n, sizeof **weights));
  cz_status st = cz_ensemble_weights(*weights, &even, &e, NULL, weighting, fidelity);
  if (st != CZ_OK) return free(*weights), *weights = NULL, st;
  if (even) cz_warn("no pattern was right on any text of T; members count alike");
  return CZ_OK;
}

/** MEAN [n, C] of the members' scores of SET by WEIGHTS [members], in the precision of a file of
 * scores. */
cz_status cz_generation_mean(float *mean, const cz_generation *g, const cz_text_set *set,
                             const double *weights) {
  const cz_ensemble e = cz_generation_on(g, set);
  const size_t n = set->n * (size_t)e.classes;
  double *sum;
  if (!n) return CZ_OK;
  CZ_TRY(cz_alloc(&sum, n, sizeof *sum));
  cz_ensemble_mean(sum, &e, weights);
  for (size_t i = 0; i < n; i++) mean[i] = (float)sum[i];
  free(sum);
  return CZ_OK;
}

/** Frees the scores and empties G. */
void cz_generation_free(cz_generation *g) {
  for (size_t i = 0; i < g->n; i++) cz_member_scores_free(&g->scores[i]);
  free(g->scores);
  free(g->on_t);
  free(g->on_d);
  free(g->on_test);
  *g = (cz_generation){0};
}

/** Writes members.json of FOLDER. */
cz_status cz_generation_note(const char *folder, int32_t generation, const cz_member_plan *plans,
                             size_t n) {
  char path[4096];
  json_t *root = json_object(), *list = json_array();
  cz_status st = cz_json_set_int(root, "generation", generation);
  if (st == CZ_OK) st = cz_json_set(root, "members", list);
  for (size_t i = 0; i < n && st == CZ_OK; i++)
    st = cz_json_add(list, json_pack("{s:i, s:i}", "pattern", plans[i].pattern, "repetition",
                                     plans[i].repetition));
  if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, CZ_MEMBERS_FILE);
  if (st == CZ_OK) st = cz_json_write(root, path, JSON_INDENT(1));
  json_decref(root);
  return st;
}

static cz_status read_plans(cz_member_plan *plans, const json_t *list, int32_t generation,
                            const cz_json_place *at) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const cz_json_place place = cz_json_place_item(at, i);
    int64_t pattern, repetition;
    CZ_TRY(cz_json_get_int(&pattern, json_array_get(list, i), &place, "pattern", -1, 0xffff));
    CZ_TRY(cz_json_get_int(&repetition, json_array_get(list, i), &place, "repetition", 0, 0xffff));
    plans[i] = (cz_member_plan){
        .pattern = (int32_t)pattern, .repetition = (int32_t)repetition, .generation = generation};
  }
  return CZ_OK;
}

/** Reads members.json of FOLDER: the GENERATION, and PLANS [*n], which the caller frees. CZ_EIO
 * with what is wanted when FOLDER is not that of a stage with members. */
cz_status cz_generation_noted(const char *folder, int32_t *generation, cz_member_plan **plans,
                              size_t *n) {
  char path[4096];
  const json_t *list;
  json_t *root = NULL;
  int64_t number;
  cz_status st;
  *plans = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ_MEMBERS_FILE));
  cz_json_place at = {.file = path};
  if (!cz_fs_exists(path))
    return CZ_FAIL(CZ_EUSAGE, "%s: this is not the folder of a stage with members (%s is missing)",
                   folder, CZ_MEMBERS_FILE);
  CZ_GO(st, cz_json_read(&root, path), done);
  CZ_GO(st, cz_json_get_int(&number, root, &at, "generation", 0, 1 << 16), done);
  CZ_GO(st, cz_json_get_array(&list, root, &at, "members"), done);
  *generation = (int32_t)number;
  *n = json_array_size(list);
  CZ_GO(st, cz_alloc(plans, *n ? *n : 1, sizeof **plans), done);
  at = cz_json_place_key(&at, "members");
  st = read_plans(*plans, list, *generation, &at);
done:
  json_decref(root);
  if (st != CZ_OK) free(*plans), *plans = NULL;
  return st;
}

/* Says what a draw could not keep. */
static void warn_of_set(const cz_examples *e, const cz_ipet_set *set, int32_t generation,
                        size_t member) {
  for (int32_t c = 0; c < e->classes; c++)
    if (set->missing[c])
      cz_warn(
          "generation %d, member %zu: %lld texts of the label '%s' were wanted, D has %lld less",
          generation, member, (long long)set->wanted[c], e->file->labels[c],
          (long long)set->missing[c]);
  if (set->even)
    cz_warn("generation %d, member %zu: no teacher was right on any text of T; each counts alike",
            generation, member);
  if (set->never_added)
    cz_warn("generation %d: T lacks %d labels, and keeping its ratio adds no text of them; "
            "classify.balance=even adds as many of each",
            generation, set->never_added);
}

/** Appends to OUT what the member of PLAN, number MEMBER of those BEFORE or else their number, is
 * trained on: T, and the texts of D that some members BEFORE label for it. Errors as cz_ipet_draw.
 */
cz_status cz_generation_texts(cz_prepared *out, cz_members *m, const cz_ipet *settings,
                              const cz_generation *before, size_t member,
                              const cz_member_plan *plan) {
  const cz_examples *e = before->examples;
  const int32_t pattern = plan->pattern, generation = plan->generation;
  const cz_ensemble ensemble = cz_generation_on(before, &e->d);
  const cz_ipet_given given = {.settings = settings,
                               .before = &ensemble,
                               .hashes = e->d.hashes,
                               .in_t = &e->in_t,
                               .labelled = e->of_label};
  cz_ipet_set set;
  cz_arena *arena;
  cz_status st;
  before->on_d[before->n] = (cz_member){.pattern = pattern, .repetition = plan->repetition};
  CZ_TRY(cz_arena_create(&arena, "a generation's set"));
  CZ_GO(st, cz_members_prepare_t(m, out, pattern), done);
  CZ_GO(st, cz_ipet_draw(&set, arena, &given, member, generation), done);
  warn_of_set(e, &set, generation, member);
  for (size_t i = 0; i < set.n; i++)
    CZ_GO(st,
          cz_members_prepare(m, out, pattern, &e->d, (size_t)set.rows[i],
                             &(cz_wanted){.label = set.labels[i]}),
          done);
done:
  cz_arena_destroy(&arena);
  return st;
}
