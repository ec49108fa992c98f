/* What a row declares must be complete, and its shape rule must refuse what kernels may
 * not see. */
#include "ops_test.h"

#include <stdio.h>
#include <string.h>

static void fail_row(const cz_op_row *row, const char *what) {
  now.failures++;
  fprintf(stderr, "FAILED %s: the row %s\n", row->name, what);
}

static void check_counts(const cz_op_row *row) {
  if (row->n_in < 1 || row->n_in > CZ_OP_IN) fail_row(row, "has an impossible number of inputs");
  if (row->n_out < 1 || row->n_out > CZ_OP_OUT)
    fail_row(row, "has an impossible number of outputs");
  for (int i = 0; i < row->n_in; i++) {
    if (!row->in_name[i]) fail_row(row, "has an input without a name");
  }
  for (int i = 0; i < row->n_out; i++) {
    if (!row->out_name[i]) fail_row(row, "has an output without a name");
  }
  uint32_t in = (1u << row->n_in) - 1, out = (1u << row->n_out) - 1;
  if ((row->grad | row->in_optional | row->in_written | row->twins | row->needs.in) & ~in)
    fail_row(row, "has a mask that names an input that is not there");
  if ((row->out_saved | row->needs.out) & ~out)
    fail_row(row, "has a mask that names an output that is not there");
  if (row->attr_bytes > CZ_ATTR_BYTES) fail_row(row, "has more attributes than a node can hold");
}

static void check_backward_declared(cz_op op) {
  const cz_op_row *row = cz_op_rows[op];
  bool backward = true, any = row->grad;
  for (const target *on = ref; on; on = next_with(on, op)) {
    bool has = kernels_of(on, op)->backward;
    backward &= has, any |= has;
  }
  if (row->not_differentiable && any) fail_row(row, "is not differentiable and has a backward");
  if (!row->not_differentiable && !backward)
    fail_row(row, "lacks a backward on a target without being not_differentiable");
  if (!row->not_differentiable && !row->grad)
    fail_row(row, "has a backward that yields no gradient");
  if (row->not_differentiable && row->fused_backward)
    fail_row(row, "is not differentiable and computes its outputs in backward");
}

static void check_aliases_declared(const cz_op_row *row) {
  for (int i = 0; i < CZ_OP_OUT; i++) {
    if (row->must_alias[i] < 0 || row->must_alias[i] > row->n_in || row->may_alias[i] < 0 ||
        row->may_alias[i] > row->n_in) {
      fail_row(row, "has an output that aliases an input that is not there");
    }
  }
  for (int i = 0; i < CZ_OP_IN; i++) {
    if (row->may_alias_grad[i] < 0 || row->may_alias_grad[i] > row->n_out)
      fail_row(row, "has a gradient that aliases one that is not there");
    if (row->may_alias_grad[i] && !(row->grad >> i & 1))
      fail_row(row, "aliases a gradient that it does not yield");
  }
}

/* An array that is only written is one that an output stands in. */
static void check_written_declared(const cz_op_row *row) {
  uint32_t in_place = 0;
  for (int i = 0; i < row->n_out; i++)
    if (row->must_alias[i] > 0) in_place |= 1u << (row->must_alias[i] - 1);
  if (row->in_written & ~in_place) fail_row(row, "only writes an input that no output aliases");
  if (row->in_written & row->needs.in) fail_row(row, "reads in backward what it only writes");
}

/** The row is complete and does not contradict itself. */
void check_row(cz_op op) {
  const cz_op_row *row = cz_op_rows[op];
  if (!row->name || !row->name[0]) fail_row(row, "has no name");
  const target *on;
  for (int i = 0; (on = target_at(i)); i++) {
    const cz_kernels *k = kernels_of(on, op);
    if (on != ref && row->of_library) continue;
    if (!on->partial && !(k && k->forward)) fail_row(row, "lacks a forward on a target");
  }
  if (!row->shape) fail_row(row, "has no shape rule");
  if (!(row->error_constant > 0)) fail_row(row, "has no error limit");
  check_counts(row);
  check_backward_declared(op);
  check_aliases_declared(row);
  check_written_declared(row);
}

/* What is timed at sizes N, the same numbers each time, and whether the shape rule takes it. */
static void make_bench(cz_case *c, cz_op op, const int64_t *n) {
  cz_call call = {0};
  char why[256] = "";
  *c = (cz_case){0};
  cz_op_case_table[op]->bench(c, &(cz_rand){.state = 1}, n);
  if (cz_case_dtypes(&call, c, cz_op_rows[op], ref->dtype, 0, why, sizeof why)) return;
  fail_row(cz_op_rows[op], "refuses what is to be timed");
  fprintf(stderr, "sizes %lld %lld %lld ...: %s\n", (long long)n[0], (long long)n[1],
          (long long)n[2], why);
}

static bool same_shape(const cz_case *a, const cz_case *b) {
  bool same = !memcmp(a->attr, b->attr, sizeof a->attr);
  for (int i = 0; i < CZ_OP_IN; i++)
    same &=
        a->in[i].ndim == b->in[i].ndim && !memcmp(a->in[i].dim, b->in[i].dim, sizeof a->in[i].dim);
  return same;
}

/** The op has a problem to be timed at any sizes of its list, and each of them counts. */
void check_bench(cz_op op, uint64_t seed) {
  const cz_op_cases *cases = cz_op_case_table[op];
  int64_t n[CZ_CASE_SIZES] = {0};
  cz_rand r = {.state = seed};
  if (!cases->bench) {
    fail_row(cz_op_rows[op], "has no problem to be timed");
    return;
  }
  for (int i = 0; i < CZ_CASE_SIZES && cases->sizes[i]; i++)
    n[i] = cases->flags >> i & 1 ? cz_rand_int(&r, 0, 1) : cz_rand_int(&r, 1, 11);
  cz_case one, other;
  make_bench(&one, op, n);
  for (int i = 0; i < CZ_CASE_SIZES && cases->sizes[i]; i++) {
    const int64_t before = n[i];
    n[i] = cases->flags >> i & 1 ? !before : before + 1;
    make_bench(&other, op, n);
    if (same_shape(&one, &other)) fail_row(cz_op_rows[op], "has a size that changes nothing");
    n[i] = before;
    cz_case_free(&other);
  }
  cz_case_free(&one);
}

static void expect_refused(const problem *p, const cz_arg *in, const char *what, int input) {
  cz_arg out[CZ_OP_OUT] = {0};
  char why[256] = "";
  if (p->row->shape(out, in, p->c.attr, why, sizeof why))
    fail_case(p, "the shape rule accepts input %s %s", p->row->in_name[input], what);
  else if (!why[0])
    fail_case(p, "the shape rule refuses input %s %s without saying why", p->row->in_name[input],
              what);
}

/** The shape rule gives outputs that can be made, and refuses missing inputs, integers
 * for reals and reals for integers. */
void check_shapes(const problem *p) {
  for (int i = 0; i < p->row->n_out; i++) {
    const cz_arg *a = &p->out[i];
    bool sound = a->ndim >= 0 && a->ndim <= CZ_DIMS && (a->dtype == CZ_F64 || a->dtype == CZ_I32);
    for (int d = 0; sound && d < a->ndim; d++) sound = a->dim[d] >= 0;
    if (!sound)
      fail_case(p, "the shape rule gives output %s an impossible shape or dtype %d",
                p->row->out_name[i], (int)a->dtype);
    int alias = p->row->must_alias[i] - 1;
    bool same = alias < 0 || !cz_present(a) || cz_numel(a) == cz_numel(&p->c.in[alias]);
    if (!same) fail_case(p, "output %s is not of its input's size", p->row->out_name[i]);
  }
  for (int i = 0; i < p->row->n_in; i++) {
    cz_arg in[CZ_OP_IN];
    memcpy(in, p->c.in, sizeof in);
    if (!cz_present(&in[i])) {
      if (!(p->row->in_optional >> i & 1))
        fail_case(p, "input %s is absent, though it is not optional", p->row->in_name[i]);
      continue;
    }
    in[i].dtype = in[i].dtype == CZ_I32 ? CZ_F64 : CZ_I32;
    expect_refused(p, in, "of the wrong dtype", i);
    in[i] = (cz_arg){0};
    if (!(p->row->in_optional >> i & 1)) expect_refused(p, in, "missing", i);
  }
}

/** What backward reads of the problem is among what the row says that it reads at most. */
void check_needs(const problem *p) {
  uint32_t present = 0;
  for (int i = 0; i < p->row->n_in; i++) present |= (uint32_t)cz_present(&p->c.in[i]) << i;
  const cz_needs most = p->row->needs, needs = cz_op_needs(p->row, p->c.attr, present);
  if (needs.in & ~most.in || needs.out & ~most.out)
    fail_case(p, "backward needs inputs %x and outputs %x, at most %x and %x", needs.in, needs.out,
              most.in, most.out);
}

/** Over all cases of the op, every optional input was absent once and every input was
 * present once. */
void check_optional_seen(const cz_op_row *row) {
  for (int i = 0; i < row->n_in; i++) {
    if ((row->in_optional >> i & 1) && !(now.absent >> i & 1))
      fail_row(row, "has an optional input that no case leaves out");
    if (!(now.present >> i & 1)) fail_row(row, "has an input that no case gives");
  }
}
