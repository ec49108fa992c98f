#include "kernels/common/units_onednn.h"

#include <stdio.h>

#if CZ_HAVE_ONEDNN

#include "kernels/common/units_packed.h"
#include "kernels/common/workspace.h"

#include <stdlib.h>
#include <string.h>

/* What a primitive is made for; compared byte by byte. */
typedef struct key {
  int64_t M, N, K;
  uint32_t alpha; /* the bits, so that equal keys have equal bytes */
  int32_t dtype, c_dtype;
  int32_t a_transposed, b_transposed, packed, add, bias;
} key;

/* What one thread needs to execute a primitive: arrays are set before each execution. As many as
 * have run at the same time. */
typedef struct executor {
  struct executor *next;
  dnnl_stream_t stream;
  dnnl_memory_t a, b, c, bias, scratch;
  void *room; /* the primitive's scratchpad */
} executor;

typedef struct shape {
  struct shape *next; /* in its bucket */
  key key;
  bool refused;
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t a, b, c, bias, scratch;
  executor *idle;
} shape;

enum { BUCKETS = 256 };

struct cz__onednn {
  dnnl_engine_t engine;
  pthread_mutex_t lock; /* of all below; not held while anything is computed */
  shape *shapes[BUCKETS];
  cz__packs packs;
  cz_units_counts counts;
};

/** The name and version of the library. Static. */
const char *cz__onednn_version(void) {
  static char text[48];
  char now[sizeof text];
  const dnnl_version_t *v = dnnl_version();
  snprintf(now, sizeof now, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  memcpy(text, now, sizeof text);
  return text;
}

/** Opens the library. Null with a reason in WHY when it cannot be. */
cz__onednn *cz__onednn_open(char *why, size_t why_bytes) {
  cz__onednn *o = calloc(1, sizeof *o);
  dnnl_status_t st = o ? dnnl_engine_create(&o->engine, dnnl_cpu, 0) : dnnl_out_of_memory;
  if (st != dnnl_success) {
    snprintf(why, why_bytes, "%s cannot be started: status %d", cz__onednn_version(), (int)st);
    free(o);
    return NULL;
  }
  pthread_mutex_init(&o->lock, NULL);
  cz__packs_open(&o->packs, o->engine, &o->lock, &o->counts);
  return o;
}

static void free_executor(executor *e) {
  dnnl_memory_t memory[] = {e->a, e->b, e->c, e->bias, e->scratch};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
    if (memory[i]) dnnl_memory_destroy(memory[i]);
  if (e->stream) dnnl_stream_destroy(e->stream);
  free(e->room);
}

static void free_shape(shape *s) {
  for (executor *e = s->idle, *next; e; e = next) {
    next = e->next;
    free_executor(e);
    free(e);
  }
  if (s->primitive) dnnl_primitive_destroy(s->primitive);
  free(s);
}

/** Frees everything and clears the pointer; accepts null. */
void cz__onednn_close(cz__onednn **o) {
  cz__onednn *all = *o;
  *o = NULL;
  if (!all) return;
  for (int i = 0; i < BUCKETS; i++)
    for (shape *s = all->shapes[i], *next; s; s = next) next = s->next, free_shape(s);
  cz__packs_close(&all->packs);
  dnnl_engine_destroy(all->engine);
  pthread_mutex_destroy(&all->lock);
  free(all);
}

static dnnl_status_t describe(shape *s, dnnl_matmul_desc_t *d) {
  const key *k = &s->key;
  dnnl_status_t st = cz__plain(&s->a, (cz_dtype)k->dtype, k->M, k->K, k->a_transposed, 0);
  if (st == dnnl_success && k->packed)
    st = dnnl_memory_desc_init_by_tag(&s->b, 2, (dnnl_dims_t){k->K, k->N},
                                      cz__dnnl_type((cz_dtype)k->dtype), dnnl_format_tag_any);
  else if (st == dnnl_success)
    st = cz__plain(&s->b, (cz_dtype)k->dtype, k->K, k->N, k->b_transposed, 0);
  if (st == dnnl_success) st = cz__plain(&s->c, (cz_dtype)k->c_dtype, k->M, k->N, false, 0);
  if (st == dnnl_success) st = cz__plain(&s->bias, CZ_F32, 1, k->N, false, 0);
  return st == dnnl_success
             ? dnnl_matmul_desc_init(d, &s->a, &s->b, k->bias ? &s->bias : NULL, &s->c)
             : st;
}

/* The scratchpad is the caller's, so that executions share nothing. */
static dnnl_status_t attributes(dnnl_primitive_attr_t a, const key *k) {
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t st = dnnl_primitive_attr_set_scratchpad_mode(a, dnnl_scratchpad_mode_user);
  float alpha;
  memcpy(&alpha, &k->alpha, sizeof alpha);
  if (st == dnnl_success && alpha != 1) st = dnnl_primitive_attr_set_output_scales(a, 1, 0, &alpha);
  if (st != dnnl_success || !k->add) return st;
  st = dnnl_post_ops_create(&ops);
  if (st == dnnl_success) st = dnnl_post_ops_append_sum(ops, 1);
  if (st == dnnl_success) st = dnnl_primitive_attr_set_post_ops(a, ops);
  if (ops) dnnl_post_ops_destroy(ops);
  return st;
}

/* Whether an implementation is one that is worth having: in bfloat16 one that is made of its
 * instructions, and never the reference, which is a thousand times slower. */
static bool worth(const char *name, cz_dtype dtype) {
  return strncmp(name, "ref", 3) != 0 && (dtype != CZ_BF16 || strstr(name, "bf16"));
}

static const char *name_of(const_dnnl_primitive_desc_t pd) {
  const char *name = "?";
  dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
  return name;
}

/* Makes the primitive of s->key; NAME receives what computes it. */
static dnnl_status_t make(cz__onednn *o, shape *s, char *name, size_t bytes) {
  dnnl_matmul_desc_t d;
  dnnl_primitive_attr_t a = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_status_t st = describe(s, &d);
  snprintf(name, bytes, "nothing");
  if (st == dnnl_success) st = dnnl_primitive_attr_create(&a);
  if (st == dnnl_success) st = attributes(a, &s->key);
  if (st == dnnl_success) st = dnnl_primitive_desc_create(&pd, &d, a, o->engine, NULL);
  if (st == dnnl_success) {
    snprintf(name, bytes, "%s", name_of(pd));
    s->refused = !worth(name, (cz_dtype)s->key.dtype);
    s->b = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    s->scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (!s->refused) st = dnnl_primitive_create(&s->primitive, pd);
  } else if (st == dnnl_unimplemented) {
    s->refused = true, st = dnnl_success;
  }
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (a) dnnl_primitive_attr_destroy(a);
  return st;
}

/* The shape of that key, made when it is asked for the first time; the lock is held. */
static dnnl_status_t find_shape(cz__onednn *o, shape **found, const key *k, char *name,
                                size_t bytes) {
  shape **head = &o->shapes[cz__bucket_of(k, sizeof *k, BUCKETS)], *s = *head;
  while (s && memcmp(&s->key, k, sizeof *k)) s = s->next;
  if ((*found = s)) return dnnl_success;
  s = calloc(1, sizeof *s);
  if (!s) return dnnl_out_of_memory;
  s->key = *k;
  dnnl_status_t st = make(o, s, name, bytes);
  if (st != dnnl_success) {
    free_shape(s);
    return st;
  }
  o->counts.primitives += !s->refused, o->counts.refused += s->refused;
  s->next = *head, *head = *found = s;
  return dnnl_success;
}

static dnnl_status_t hold(cz__onednn *o, dnnl_memory_t *memory, const dnnl_memory_desc_t *md) {
  return dnnl_memory_create(memory, md, o->engine, DNNL_MEMORY_NONE);
}

/* Takes an executor of the shape, or makes one; the lock is held. */
static dnnl_status_t take_executor(cz__onednn *o, shape *s, executor **taken) {
  executor *e = s->idle;
  if (e) s->idle = e->next;
  if ((*taken = e)) return dnnl_success;
  e = calloc(1, sizeof *e);
  if (!e) return dnnl_out_of_memory;
  size_t bytes = dnnl_memory_desc_get_size(&s->scratch);
  dnnl_status_t st = dnnl_stream_create(&e->stream, o->engine, dnnl_stream_default_flags);
  if (st == dnnl_success) st = hold(o, &e->a, &s->a);
  if (st == dnnl_success) st = hold(o, &e->b, &s->b);
  if (st == dnnl_success) st = hold(o, &e->c, &s->c);
  if (st == dnnl_success) st = hold(o, &e->bias, &s->bias);
  if (st == dnnl_success) st = hold(o, &e->scratch, &s->scratch);
  if (st == dnnl_success && bytes && !(e->room = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)))
    st = dnnl_out_of_memory;
  if (st == dnnl_success && bytes) st = dnnl_memory_set_data_handle(e->scratch, e->room);
  if (st != dnnl_success) free_executor(e), free(e), e = NULL;
  *taken = e;
  return st;
}

static dnnl_status_t execute(const shape *s, executor *e, const cz__onednn_job *j, const void *b) {
  dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, e->a},
                             {DNNL_ARG_WEIGHTS, e->b},
                             {DNNL_ARG_DST, e->c},
                             {DNNL_ARG_SCRATCHPAD, e->scratch}};
  int n = 4;
  dnnl_status_t st = dnnl_memory_set_data_handle(e->a, (void *)j->a);
  if (st == dnnl_success) st = dnnl_memory_set_data_handle(e->b, (void *)b);
  if (st == dnnl_success) st = dnnl_memory_set_data_handle(e->c, j->c);
  if (st == dnnl_success && j->bias) {
    st = dnnl_memory_set_data_handle(e->bias, (void *)j->bias);
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, e->bias};
  }
  if (st == dnnl_success) st = dnnl_primitive_execute(s->primitive, e->stream, n, args);
  return st == dnnl_success ? dnnl_stream_wait(e->stream) : st;
}

static key key_of(const cz__onednn_job *j) {
  key k;
  memset(&k, 0, sizeof k);
  k.M = j->M, k.N = j->N, k.K = j->K;
  memcpy(&k.alpha, &j->alpha, sizeof k.alpha);
  k.dtype = j->dtype, k.c_dtype = j->c_dtype, k.a_transposed = j->a_transposed;
  k.packed = j->b_version != 0, k.b_transposed = j->b_version ? 0 : j->b_transposed;
  k.add = j->add, k.bias = j->bias != NULL;
  return k;
}

/* All that a job needs; the lock is held. */
static dnnl_status_t prepare(cz__onednn *o, const cz__onednn_job *j, shape **s, cz__packed **w,
                             executor **e, char *name, size_t bytes) {
  key k = key_of(j);
  dnnl_status_t st = find_shape(o, s, &k, name, bytes);
  if (st != dnnl_success || (*s)->refused) return st;
  if (j->b_version) st = cz__packs_find(&o->packs, w, j, &(*s)->b);
  if (st == dnnl_success && *w) st = cz__packed_fill(&o->packs, *w, j->b_version);
  return st == dnnl_success ? take_executor(o, *s, e) : st;
}

/** Runs a job on the calling thread, for which omp_set_num_threads(1) is in force: primitives are
 * made for as many threads as that says. FAILED leaves a reason in WHY. */
cz__onednn_result cz__onednn_run(cz__onednn *o, const cz__onednn_job *j, char *why,
                                 size_t why_bytes) {
  char name[64] = "";
  shape *s = NULL;
  cz__packed *w = NULL;
  executor *e = NULL;
  pthread_mutex_lock(&o->lock);
  dnnl_status_t st = prepare(o, j, &s, &w, &e, name, sizeof name);
  pthread_mutex_unlock(&o->lock);
  if (st == dnnl_success && s->refused) return CZ__ONEDNN_REFUSED;
  if (st == dnnl_success) st = execute(s, e, j, w ? cz__packed_data(w) : j->b);
  if (e) {
    pthread_mutex_lock(&o->lock);
    e->next = s->idle, s->idle = e;
    pthread_mutex_unlock(&o->lock);
  }
  if (st == dnnl_success) return CZ__ONEDNN_DONE;
  snprintf(why, why_bytes, "%s: status %d in a product of %lld x %lld x %lld (%s)",
           cz__onednn_version(), (int)st, (long long)j->M, (long long)j->K, (long long)j->N,
           cz_dtype_names[j->dtype]);
  return CZ__ONEDNN_FAILED;
}

/** Which implementation a product of DTYPE would get, in NAME; REFUSED when it is none to use. */
cz__onednn_result cz__onednn_implementation(cz__onednn *o, char *name, size_t bytes,
                                            cz_dtype dtype) {
  const float one = 1;
  shape s = {.key = {.M = 128, .N = 128, .K = 128, .packed = 1}};
  memcpy(&s.key.alpha, &one, sizeof one);
  s.key.dtype = s.key.c_dtype = dtype;
  dnnl_status_t st = make(o, &s, name, bytes);
  if (s.primitive) dnnl_primitive_destroy(s.primitive);
  return st != dnnl_success ? CZ__ONEDNN_FAILED : s.refused ? CZ__ONEDNN_REFUSED : CZ__ONEDNN_DONE;
}

/** Frees what was packed of arrays that begin in these BYTES. */
void cz__onednn_forget(cz__onednn *o, const void *memory, size_t bytes) {
  pthread_mutex_lock(&o->lock);
  cz__packs_forget(&o->packs, memory, bytes);
  pthread_mutex_unlock(&o->lock);
}

/** Primitives and packed arrays so far. */
cz_units_counts cz__onednn_count(cz__onednn *o) {
  pthread_mutex_lock(&o->lock);
  cz_units_counts counts = o->counts;
  pthread_mutex_unlock(&o->lock);
  return counts;
}

#else

/** That there is no library. Static. */
const char *cz__onednn_version(void) { return "built without oneDNN"; }

/** Null: there is no library, as WHY says. */
cz__onednn *cz__onednn_open(char *why, size_t why_bytes) {
  snprintf(why, why_bytes, "this cloze was built without oneDNN (libdnnl-dev)");
  return NULL;
}

/** Clears the pointer. */
void cz__onednn_close(cz__onednn **o) { *o = NULL; }

/** Not called: nothing can be opened. */
cz__onednn_result cz__onednn_implementation(cz__onednn *o, char *name, size_t bytes,
                                            cz_dtype dtype) {
  snprintf(name, bytes, "nothing");
  return CZ__ONEDNN_REFUSED;
}

/** Not called. */
cz__onednn_result cz__onednn_run(cz__onednn *o, const cz__onednn_job *j, char *why,
                                 size_t why_bytes) {
  return CZ__ONEDNN_REFUSED;
}

/** Not called. */
void cz__onednn_forget(cz__onednn *o, const void *memory, size_t bytes) { (void)o; }

/** Not called. */
cz_units_counts cz__onednn_count(cz__onednn *o) { return (cz_units_counts){0}; }

#endif
