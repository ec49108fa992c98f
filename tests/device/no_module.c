/* A shared object of the module's name that is none. */
int cz_no_module(void);
int cz_no_module(void) { return 1; }
