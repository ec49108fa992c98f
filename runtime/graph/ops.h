/* What a builder of graphs needs of the ops: the numbers of their inputs and outputs, and
 * the attribute structs of those that have one. `add` has neither; cache_append and
 * gather take their inputs in the order of their rows. Kernels themselves are called by
 * the engine alone. */
#ifndef CZ_GRAPH_OPS_H
#define CZ_GRAPH_OPS_H

#include "kernels/activation/activation.h"
#include "kernels/adafactor/adafactor.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/choices/choices.h"
#include "kernels/clip/clip.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dropout/dropout.h"
#include "kernels/embedding/embedding.h"
#include "kernels/label_words/label_words.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"

#endif
