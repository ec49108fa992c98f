/* What a test that fills in cz_examples_keys by hand says of the keys that it has nothing to say
 * of: a text is empty, not null. A new key of texts stands here. */
#ifndef CZ_TESTS_EXAMPLE_KEYS_H
#define CZ_TESTS_EXAMPLE_KEYS_H

#define NO_OTHER_KEYS .labels = "", .columns = "", .group_column = "", .chosen_by = ""

#endif
