/* Stands on a library that the loader does not find. */
int cublas_dummy(void);
int needs_it(void);
int needs_it(void) { return cublas_dummy(); }
