/* A library that has the name of an OpenMP runtime and nothing in it. */
extern int cz_second_openmp;
int cz_second_openmp = 1;
