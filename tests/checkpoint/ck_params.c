/* The list of parameters in a checkpoint: by name and shape, whatever the memory's layout. */
#include "ck_test.h"

#include "tensor/params.h"

typedef struct shape {
  const char *name;
  int ndim;
  int64_t dim[2];
} shape;

static const shape shapes[] = {{"shared.weight", 2, {7, 5}},
                               {"block.0.layer_norm.weight", 1, {5}},
                               {"block.0.q.weight", 2, {33, 3}},
                               {"head", 1, {1}}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* The list on device D, declared from the first or from the last on, with values 1, 2, 3, ...
 * times SIGN within each. */
static cz_params *make_list(cz_device *d, bool reversed, int n, double sign) {
  cz_params *p;
  OK(cz_params_create(&p, d));
  for (int i = 0; i < n; i++) {
    const shape *s = &shapes[reversed ? n - 1 - i : i];
    cz_param *q;
    OK(cz_params_declare(p, &q, s->name, s->ndim, s->dim, (cz_init){CZ_INIT_ZERO, 0}, true));
  }
  OK(cz_params_allocate(p));
  for (size_t i = 0; i < p->n; i++)
    for (int64_t k = 0; k < p->list[i]->count; k++) {
      double x = sign * (double)(k + 1) * (double)strlen(p->list[i]->name);
      OK(cz_device_write_real(d, (char *)p->list[i]->value + (size_t)k * cz_dtype_bytes(d->real),
                              &x, 1));
    }
  return p;
}

static void assert_values(cz_params *p, double sign) {
  for (size_t i = 0; i < p->n; i++)
    for (int64_t k = 0; k < p->list[i]->count; k++) {
      double x = 0;
      const char *at =
          (const char *)p->list[i]->value + (size_t)k * cz_dtype_bytes(p->device->real);
      OK(cz_device_read_real(p->device, &x, at, 1));
      assert_true(x == sign * (double)(k + 1) * (double)strlen(p->list[i]->name));
    }
}

/* Saved on cpu; read where the order of declaration and the gaps between parameters differ. */
void test_params(void **state) {
  cz_device *cpu, *guard, *ref;
  cz_checkpoint_writer *w;
  cz_checkpoint *c;
  OK(cz_device_open(&cpu, "cpu"));
  OK(cz_device_open(&guard, "guard:cpu"));
  OK(cz_device_open(&ref, "ref"));
  cz_params *saved = make_list(cpu, false, SHAPES, 1), *other = make_list(guard, true, SHAPES, -1),
            *fewer = make_list(cpu, false, SHAPES - 1, 1), *wide = make_list(ref, false, SHAPES, 1);
  assert_true(saved->flat != other->flat);
  fresh_folder(under("params"));
  OK(cz_checkpoint_begin(&w, under("params"), 1, 0));
  OK(cz_checkpoint_put_params(w, "parameters", saved, saved->values));
  OK(cz_checkpoint_put_params(w, "optimizer", fewer, fewer->values)); /* another group */
  OK(cz_checkpoint_commit(&w));
  OK(cz_checkpoint_open(&c, under("params")));
  const cz_checkpoint_entry *e = cz_checkpoint_find(c, "parameters/shared.weight");
  assert_true(e && e->rank == 2 && e->dims[0] == 7 && e->dims[1] == 5);
  OK(cz_checkpoint_get_params(c, "parameters", other, other->values));
  assert_values(other, 1);
  FAILS(cz_checkpoint_get_params(c, "parameters", fewer, fewer->values), CZ_EINVAL,
        "'parameters/head' is no parameter of this model");
  FAILS(cz_checkpoint_get_params(c, "optimizer", saved, saved->values), CZ_EINVAL,
        "no entry 'optimizer/head'");
  FAILS(cz_checkpoint_get_params(c, "parameters", wide, wide->values), CZ_EINVAL,
        "is f32 [7, 5], expected f64 [7, 5]");
  cz_checkpoint_close(&c);
  cz_params *lists[] = {saved, other, fewer, wide};
  for (int i = 0; i < 4; i++) cz_params_destroy(&lists[i]);
  cz_device_close(&cpu);
  cz_device_close(&guard);
  cz_device_close(&ref);
}
