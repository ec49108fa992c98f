/* The emulator's models of instructions against what the PTX manual says of them (definitions.cpp),
 * on the inputs of the pins: the same that tests/gpu compares between the emulator and a card. */
#include "emulator/control.h"
#include "emulator/definitions.h"

#include <algorithm>
#include <cuda_runtime_api.h>
#include <vector>
extern "C" {
#include "common/common.h"
}

extern "C" void cz_cuda_launched(void *stream, const char *kernel, int error) {
  if (error) fail_msg("%s: %s", kernel, emu_take_error());
}
extern "C" void *cz_cuda_stream_of(void *stream) { return stream; }

static std::vector<uint32_t> inputs_of(const pin &p, uint64_t seed) {
  std::vector<uint32_t> in((size_t)p.items * (size_t)p.in_words);
  pin_make(in.data(), &p, seed);
  return in;
}

static std::vector<uint8_t> run(const pin &p, const std::vector<uint32_t> &in) {
  std::vector<uint8_t> out((size_t)p.items * (size_t)p.out_bytes);
  void *from, *to;
  assert_int_equal(cudaMalloc(&from, 4 * in.size()), cudaSuccess);
  assert_int_equal(cudaMalloc(&to, out.size()), cudaSuccess);
  cudaMemcpy(from, in.data(), 4 * in.size(), cudaMemcpyHostToDevice);
  p.run(to, static_cast<uint32_t *>(from), p.items);
  cudaMemcpy(out.data(), to, out.size(), cudaMemcpyDeviceToHost);
  cudaFree(from);
  cudaFree(to);
  return out;
}

/* How many items are not as they should be; says of the first. */
static int wrong_items(const pin &p, const std::vector<uint32_t> &in,
                       const std::vector<uint8_t> &out) {
  int wrong = 0;
  for (int i = 0; i < p.items; i++) {
    const std::string why =
        differs(&p, &in[(size_t)i * (size_t)p.in_words], &out[(size_t)i * (size_t)p.out_bytes]);
    if (!why.empty() && wrong++ == 0) print_message("%s, item %d: %s\n", p.name, i, why.c_str());
  }
  return wrong;
}

static void models(void **state) {
  for (int k = 0; k < pin_count; k++)
    for (int order = 0; order < EMU_ORDERS; order++) {
      emu_set_order((emu_order)order, test_seed());
      const std::vector<uint32_t> in = inputs_of(pins[k], test_seed() + (uint64_t)order);
      assert_int_equal(wrong_items(pins[k], in, run(pins[k], in)), 0);
      if (pins[k].inputs == PIN_COUNTER) break; /* all numbers, always the same */
    }
}

/* Results of a warp's instruction in other lanes, or in another order within each lane, are found.
 */
static void places(void **state) {
  emu_set_order(EMU_ASCENDING, 0);
  for (int k = 0; k < pin_count; k++) {
    const pin &p = pins[k];
    const size_t of_item = (size_t)p.out_bytes, of_lane = of_item / PIN_WARP;
    if (of_lane < 8) continue; /* of one number */
    const std::vector<uint32_t> in = inputs_of(p, 7);
    std::vector<uint8_t> lanes = run(p, in), turned = lanes;
    for (size_t i = 0; i < lanes.size(); i += of_item) /* votes of half a warp are alike */
      std::rotate(&lanes[i], &lanes[i + 17 * of_lane], &lanes[i] + of_item);
    for (size_t i = 0; i < lanes.size(); i += of_lane)
      std::swap_ranges(&turned[i], &turned[i + 4], &turned[i + 4]);
    assert_true(wrong_items(p, in, lanes) > 0);
    assert_true(wrong_items(p, in, turned) > 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(models), cmocka_unit_test(places)};
  return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
