// A column of a convolution (conv.cpp) is a piece of the input that begins elsewhere for every element of the kernel.
// So nothing need be copied into columns when a register tile may look up where each of its steps reads. What it reads
// is the input with its padding around it, taken apart by place modulo stride: then positions that are neighbours in
// the output are neighbours in memory for every element of the kernel, and a register holds positions of one row and
// the first ones of the next, with what lies between them left unused.
#include "core/cpu/conv_direct.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/scratch.h"
#include "core/base/threads.h"
#include "core/cpu/conv_kernels.h"
#include "core/cpu/gemm.h"
#include "core/cpu/gemm_kernels.h"
#include "core/cpu/kernel_table.h"

namespace bulssi {
TAKE_KERNELS(ConvTable, conv)

namespace {

template <class T>
const ConvKernels<T>& kernels() {
  return cpu::kernels_of<T>(conv_kernels());
}

template <class T>
void transpose(int64_t rows, int64_t cols, const T* in, int64_t ld_in, T* out, int64_t ld_out) {
  cpu::kernels_of<T>(gemm_kernels()).transpose(rows, cols, in, ld_in, out, ld_out);
}

constexpr int64_t kTogetherBytes = 4 << 20;    // of padded images that are made at a time
constexpr int64_t kMostBytes = 256 << 20;      // of one padded image; a larger one goes block by block, as columns
constexpr int64_t kSumBytes = 48 << 10;        // of a task's sums, which stay in the second-level cache
constexpr int64_t kDepthBytes = 2048;          // of a row of weights that a tile goes through at a time
constexpr int64_t kWeighSteps = 512;           // positions that are summed at a time
constexpr int64_t kSerial = int64_t{1} << 20;  // multiply-adds that one thread does as fast as two
constexpr int64_t kTaskWork = int64_t{1} << 17;
constexpr int64_t kFewSteps = 16;
constexpr double kUsedLanes = 0.6, kManyUsedLanes = 0.96;
constexpr int64_t kPiecePositions = 512;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// ---- the padded input -----------------------------------------------------------------------------------------------

// One dimension of it: element q of phase i is element q * step + phases[i] - padding of the input, or zero.
struct Axis {
  int64_t in, step, padding, wide;
  std::vector<int64_t> phases;
};
struct Padded {
  Axis axis[3];

  int64_t phases() const {
    int64_t n = 1;
    for (const Axis& a : axis) n *= static_cast<int64_t>(a.phases.size());
    return n;
  }
  // Of one channel.
  int64_t size() const { return phases() * axis[0].wide * axis[1].wide * axis[2].wide; }
  // From one channel to the next: not a multiple of 256 bytes, where channels would share few sets of the cache.
  template <class T>
  int64_t distance() const {
    constexpr int64_t line = 64 / sizeof(T);
    return size() + (size() % (4 * line) == 0 ? line : 0);
  }
  int64_t at(const int64_t (&phase)[3], const int64_t (&q)[3]) const {
    int64_t place = 0;
    for (int i = 0; i < 3; ++i) place = place * static_cast<int64_t>(axis[i].phases.size()) + phase[i];
    for (int i = 0; i < 3; ++i) place = place * axis[i].wide + q[i];
    return place;
  }
  // From one element to its neighbour in dimension i.
  int64_t step(int i) const { return i == 2 ? 1 : i == 1 ? axis[2].wide : axis[1].wide * axis[2].wide; }
};

template <class T>
void pad_row(const Axis& a, int64_t phase, const T* row, T* to) {
  const int64_t shift = phase - a.padding;
  const int64_t low = std::clamp<int64_t>(-floor_div(shift, a.step), 0, a.wide);
  const int64_t high = std::clamp<int64_t>(-floor_div(shift - a.in, a.step), low, a.wide);
  std::fill(to, to + low, T(0));
  if (a.step == 1) {
    if (high > low) std::memcpy(to + low, row + low + shift, (high - low) * sizeof(T));
  } else {
    for (int64_t q = low; q < high; ++q) to[q] = row[q * a.step + shift];
  }
  std::fill(to + high, to + a.wide, T(0));
}
template <class T>
void pad(const Padded& p, const T* plane, T* to) {
  const Axis &d = p.axis[0], &h = p.axis[1], &w = p.axis[2];
  for (const int64_t pd : d.phases) {
    for (const int64_t ph : h.phases) {
      for (const int64_t pw : w.phases) {
        for (int64_t i = 0; i < d.wide; ++i) {
          const int64_t z = i * d.step + pd - d.padding;
          for (int64_t j = 0; j < h.wide; ++j, to += w.wide) {
            const int64_t y = j * h.step + ph - h.padding;
            if (z < 0 || z >= d.in || y < 0 || y >= h.in)
              std::fill(to, to + w.wide, T(0));
            else
              pad_row(w, pw, plane + (z * h.in + y) * w.in, to);
          }
        }
      }
    }
  }
}

// ---- positions ------------------------------------------------------------------------------------------------------

// Places of the result that read the same elements of the kernel, in a grid.
struct Positions {
  int64_t count[3], first, step[3];  // in the result; step[2] is between neighbours
  std::vector<int64_t> taps;         // elements of the kernel
  std::vector<int64_t> offsets;      // where each of them reads, for the first position
  std::vector<int64_t> starts;       // of each register
  std::vector<TapRun> runs;          // what of the registers goes where
  std::vector<int64_t> run_begin;    // of each register, and the end

  int64_t size() const { return count[0] * count[1] * count[2]; }
  int64_t registers() const { return static_cast<int64_t>(starts.size()); }

  void deal(const Padded& p, int64_t lanes) {
    for (int64_t i = 0; i < count[0]; ++i) {
      for (int64_t j = 0; j < count[1]; ++j) {
        const int64_t from = i * p.step(0) + j * p.step(1), to = first + i * step[0] + j * step[1];
        for (int64_t k = 0; k < count[2];) {
          if (starts.empty() || from + k >= starts.back() + lanes) {
            run_begin.push_back(static_cast<int64_t>(runs.size()));
            starts.push_back(from + k);
          }
          const int64_t lane = from + k - starts.back(), n = std::min(count[2] - k, lanes - lane);
          runs.push_back({lane, to + k * step[2], static_cast<int32_t>(n)});
          k += n;
        }
      }
    }
    run_begin.push_back(static_cast<int64_t>(runs.size()));
  }
};

bool worth(const std::vector<Positions>& all, int64_t lanes) {
  int64_t used = 0, registers = 0;
  for (const Positions& p : all) used += p.size(), registers += p.registers();
  return static_cast<double>(used) >= kUsedLanes * static_cast<double>(registers * lanes);
}

// Is there work, on an input that is small when padded? Its size is a double: with large strides beside large paddings
// it may be beyond all integers.
template <class T>
bool fits(const Padded& p, const ConvShape& s, int64_t channels) {
  for (const int64_t n : {s.batch, s.groups, s.channels, s.features, s.in_size(), s.out_size(), s.taps()}) {
    if (n == 0) return false;
  }
  double bytes = sizeof(T) * static_cast<double>(channels);
  for (const Axis& a : p.axis) bytes *= static_cast<double>(a.phases.size()) * static_cast<double>(a.wide);
  return bytes <= kMostBytes;
}

// ---- sums over channels and elements of the kernel ------------------------------------------------------------------

// y(image, group, o) = sum over c and taps of weights(group, o, c, taps) x(image, group, c).
template <class T>
struct Correlation {
  int64_t batch, groups, channels, features, in_size, out_size;
  const Padded& padded;
  const T *x, *bias;
  T* y;
  int64_t plane() const { return padded.template distance<T>(); }
  int64_t image() const { return groups * channels * plane(); }
};

// Where each step reads, for the first position.
template <class T>
std::vector<int32_t> step_offsets(const Correlation<T>& c, const Positions& p) {
  std::vector<int32_t> offsets;
  for (int64_t i = 0; i < c.channels; ++i) {
    for (const int64_t at : p.offsets) offsets.push_back(static_cast<int32_t>(i * c.plane() + at));
  }
  return offsets;
}
// The parts of all steps that a tile goes through at a time.
template <class T>
int64_t depth_parts(const Correlation<T>& c, int64_t depth) {
  // With a stride every element of the kernel reads lines of its own.
  const int64_t most = kDepthBytes / int64_t{sizeof(T)} / std::min<int64_t>(4, c.padded.phases());
  return std::max<int64_t>(1, (depth + most / 2) / most);
}

// Registers [begin, end) of all images one after the other: where each starts and what goes where.
struct Registers {
  int64_t begin = 0, end = 0;
  std::vector<int64_t> starts;
  std::vector<TapRun> runs;

  void take(const Positions& p, int64_t from, int64_t to, int64_t lanes, int64_t image, int64_t out_image) {
    if (from == begin && to == end) return;
    begin = from, end = to;
    starts.clear();
    runs.clear();
    for (int64_t v = begin; v < end; ++v) {
      const int64_t which = v / p.registers(), here = v % p.registers();
      starts.push_back(which * image + p.starts[here]);
      for (int64_t r = p.run_begin[here]; r < p.run_begin[here + 1]; ++r) {
        const TapRun& run = p.runs[r];
        runs.push_back({run.from + (v - begin) * lanes, run.to + which * out_image, run.count});
      }
    }
  }
};

// Of a group: its registers r, and panels [first, last) of its features.
template <class T>
void correlate_registers(const Correlation<T>& c, const Registers& r, int64_t group, const GemmPanels& panels,
                         int64_t first, int64_t last, const T* weights, const T* padded,
                         const std::vector<int32_t>& offsets, int64_t step, T* y) {
  const ConvKernels<T>& f = kernels<T>();
  const int64_t n = r.end - r.begin, ldc = n * f.lanes, depth = static_cast<int64_t>(offsets.size());
  Scratch<T> sums(panels.rows(0) * ldc + f.lanes);
  const int64_t parts = depth_parts(c, depth);
  for (int64_t panel = first; panel < last; ++panel) {
    const int64_t rows = panels.rows(panel), feature = group * c.features + panels.first(panel);
    const T* a = weights + feature * depth;
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t p = depth * i / parts, q = depth * (i + 1) / parts;
      f.sum({rows, n, q - p, 1, a + p, depth, 0, padded + group * c.channels * c.plane(), 0, r.starts.data(),
             offsets.data() + p, sums.get(), ldc, i > 0, q < depth ? a + q : a + rows * depth});
    }
    f.scatter(rows, sums.get(), ldc, r.runs.data(), static_cast<int64_t>(r.runs.size()), step,
              c.bias ? c.bias + feature : nullptr, y + feature * c.out_size, c.out_size);
  }
}

// The images [0, images) that lie padded in memory.
template <class T>
void correlate_positions(const Correlation<T>& c, const Positions& p, const T* weights, const T* padded, int64_t images,
                         T* y) {
  const ConvKernels<T>& f = kernels<T>();
  const int64_t taps = static_cast<int64_t>(p.taps.size()), total = images * p.registers();
  if (total == 0) return;
  const std::vector<int32_t> offsets = step_offsets(c, p);
  const GemmPanels panels(c.features, f.rows);
  // Many features use what a task has read of x; where there is not enough for all threads, features and then registers
  // are shared out further. No bit depends on that: every sum is the same in any task.
  const int64_t wanted = 8 * thread_count(), unit = 2;
  const int64_t most = std::max<int64_t>(8, kSumBytes / (panels.rows(0) * f.lanes * int64_t{sizeof(T)}));
  int64_t parts = ceil_div(total, most), splits = 1;
  if (c.groups * parts < wanted) splits = std::min(panels.count, ceil_div(wanted, c.groups * parts));
  if (c.groups * parts * splits < wanted)
    parts = std::max(parts, std::min(ceil_div(total, 2 * unit), ceil_div(wanted, c.groups * splits)));
  const int64_t units = ceil_div(total, unit), tasks = c.groups * parts * splits;
  const int64_t work = images * c.groups * c.features * c.channels * (taps + 4) * p.size();
  const int64_t grain = work < kSerial ? tasks : std::max<int64_t>(1, kTaskWork / (work / tasks + 1));
  parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
    Registers registers;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t split = t % splits, group = t / splits % c.groups, part = t / splits / c.groups;
      const int64_t from = units * part / parts * unit, to = std::min(total, units * (part + 1) / parts * unit);
      if (from >= to) continue;
      registers.take(p, from, to, f.lanes, c.image(), c.groups * c.features * c.out_size);
      correlate_registers(c, registers, group, panels, panels.count * split / splits,
                          panels.count * (split + 1) / splits, weights, padded, offsets, p.step[2], y);
    }
  });
}

// ---- the same with registers along the features: no lane is idle where rows are no multiple of a register -----------

// Weights in panels pay when many positions use them.
template <class T>
bool pieces_pay(const Correlation<T>& c, const Positions& p) {
  const ConvKernels<T>& f = kernels<T>();
  const bool whole = p.first == 0 && p.step[2] == 1 && p.step[1] == p.count[2] && p.step[0] == p.count[1] * p.count[2];
  const double used = static_cast<double>(p.size()) / static_cast<double>(p.registers() * f.lanes);
  return whole && c.features % f.panel == 0 && c.batch * p.size() >= kPiecePositions &&
         (used < kManyUsedLanes || c.padded.phases() > 1);
}

// Rows of positions in pieces: a long row is cut evenly, two short ones go together.
template <class T>
class Pieces {
 public:
  Pieces(const Correlation<T>& c, const Positions& p, const T* packed, const T* padded, T* y)
      : c_(c), p_(p), packed_(packed), padded_(padded), y_(y), offsets_(step_offsets(c, p)), cut_(wide(), f_.rows) {}

  int64_t wide() const { return p_.count[2]; }
  int64_t rows() const { return p_.count[0] * p_.count[1]; }  // of an image

  // Rows [begin, end) of all images one after the other, a panel of the features from `feature` on.
  void run(int64_t begin, int64_t end, int64_t group, int64_t feature, T* sums) const {
    const int64_t depth = static_cast<int64_t>(offsets_.size()), parts = depth_parts(c_, depth), ldc = f_.panel;
    const T* w = packed_ + (group * c_.features + feature) * depth;
    const T* bias = c_.bias ? c_.bias + group * c_.features + feature : nullptr;
    const bool pairs = 2 * wide() <= f_.rows;
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t from = depth * i / parts, to = depth * (i + 1) / parts;
      for (int64_t r = begin; r < end; ++r) {
        T* row = sums + (r - begin) * wide() * ldc;
        const bool two = pairs && r + 1 < end;
        const T *x = start(r, group), *second = two ? start(r + 1, group) : nullptr;
        for (int64_t k = 0; k < cut_.count; ++k)
          f_.sum_piece({cut_.rows(k), to - from, x + cut_.first(k), second, offsets_.data() + from, w + from * f_.panel,
                        row + cut_.first(k) * ldc, ldc, i > 0, bias});
        r += two;
      }
    }
    for (int64_t r = begin; r < end;) {  // image by image
      const int64_t image = r / rows(), last = std::min(end, (image + 1) * rows());
      T* to = y_ + ((image * c_.groups + group) * c_.features + feature) * c_.out_size + r % rows() * wide();
      transpose((last - r) * wide(), ldc, sums + (r - begin) * wide() * ldc, ldc, to, c_.out_size);
      r = last;
    }
  }

 private:
  const T* start(int64_t r, int64_t group) const {
    const int64_t image = r / rows(), d = r % rows() / p_.count[1], h = r % p_.count[1];
    return padded_ + image * c_.image() + group * c_.channels * c_.plane() + d * c_.padded.step(0) +
           h * c_.padded.step(1);
  }

  const Correlation<T>& c_;
  const Positions& p_;
  const T *packed_, *padded_;
  T* y_;
  const ConvKernels<T>& f_ = kernels<T>();
  std::vector<int32_t> offsets_;
  GemmPanels cut_;
};

template <class T>
void correlate_in_pieces(const Correlation<T>& c, const Positions& p, const T* packed, const T* padded, int64_t images,
                         T* y) {
  const Pieces<T> pieces(c, p, packed, padded, y);
  const int64_t panel = kernels<T>().panel, panels = c.features / panel, rows = images * pieces.rows();
  const int64_t most = std::max<int64_t>(1, kSumBytes / (pieces.wide() * panel * int64_t{sizeof(T)}));
  const int64_t parts = std::max(ceil_div(rows, most), std::min(rows, ceil_div(8 * thread_count(), c.groups * panels)));
  parallel_for(c.groups * panels * parts, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> sums(ceil_div(rows, parts) * pieces.wide() * panel);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t here = t % panels, group = t / panels % c.groups, part = t / panels / c.groups;
      pieces.run(rows * part / parts, rows * (part + 1) / parts, group, here * panel, sums.get());
    }
  });
}

// Panels of a group's features, [step][feature].
template <class T>
void pack_weights(const Correlation<T>& c, int64_t depth, const T* weights, T* to) {
  const int64_t panel = kernels<T>().panel;
  parallel_for(c.groups * c.features / panel, std::max<int64_t>(1, 32768 / (panel * depth)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i)
                   transpose(panel, depth, weights + i * panel * depth, depth, to + i * panel * depth, panel);
               });
}

template <class T>
void pad_images(const Padded& p, const T* x, int64_t planes, int64_t in_size, T* to) {
  const int64_t size = p.distance<T>();
  parallel_for(planes, std::max<int64_t>(1, 32768 / size), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      pad(p, x + i * in_size, to + i * size);
      std::fill(to + i * size + p.size(), to + (i + 1) * size, T(0));
    }
  });
}

// weights[i] are those of all[i].
template <class T>
void correlate(const Correlation<T>& c, const std::vector<Positions>& all, const std::vector<const T*>& weights) {
  const int64_t image = c.image(), planes = c.groups * c.channels;
  const int64_t together = std::clamp<int64_t>(kTogetherBytes / int64_t{sizeof(T)} / image, 1, c.batch);
  const int64_t room = kernels<T>().lanes;  // behind the last image, which a register may reach into
  Scratch<T> padded(together * image + room);
  const int64_t depth = c.channels * static_cast<int64_t>(all[0].taps.size());
  const bool pieces = all.size() == 1 && pieces_pay(c, all[0]);
  Scratch<T> packed(pieces ? c.groups * c.features * depth : 0);
  if (pieces) pack_weights(c, depth, weights[0], packed.get());
  for (int64_t first = 0; first < c.batch; first += together) {
    const int64_t images = std::min(together, c.batch - first);
    pad_images(c.padded, c.x + first * planes * c.in_size, images * planes, c.in_size, padded.get());
    std::fill_n(padded.get() + images * image, room, T(0));
    T* y = c.y + first * c.groups * c.features * c.out_size;
    if (pieces) {
      correlate_in_pieces(c, all[0], packed.get(), padded.get(), images, y);
      continue;
    }
    for (size_t i = 0; i < all.size(); ++i) correlate_positions(c, all[i], weights[i], padded.get(), images, y);
  }
}

// The input of a convolution, and all of its positions.
Padded padded_input(const ConvShape& s) {
  Padded p;
  for (int i = 0; i < 3; ++i) {
    Axis& a = p.axis[i];
    a = {s.in[i], s.stride[i], s.padding[i], s.out[i] + (s.kernel[i] - 1) * s.dilation[i] / s.stride[i], {}};
    for (int64_t k = 0; k < s.kernel[i]; ++k) {
      const int64_t phase = k * s.dilation[i] % s.stride[i];
      if (std::find(a.phases.begin(), a.phases.end(), phase) == a.phases.end()) a.phases.push_back(phase);
    }
  }
  return p;
}
Positions all_positions(const ConvShape& s, const Padded& padded) {
  Positions p{{s.out[0], s.out[1], s.out[2]}, 0, {s.out[1] * s.out[2], s.out[2], 1}, {}, {}, {}, {}, {}};
  for (int64_t t = 0; t < s.taps(); ++t) {
    const int64_t k[3] = {t / (s.kernel[1] * s.kernel[2]), t / s.kernel[2] % s.kernel[1], t % s.kernel[2]};
    int64_t phase[3], q[3];
    for (int i = 0; i < 3; ++i) {
      const std::vector<int64_t>& phases = padded.axis[i].phases;
      const int64_t reach = k[i] * s.dilation[i];
      phase[i] = std::find(phases.begin(), phases.end(), reach % s.stride[i]) - phases.begin();
      q[i] = reach / s.stride[i];
    }
    p.taps.push_back(t);
    p.offsets.push_back(padded.at(phase, q));
  }
  return p;
}

// ---- the adjoint ----------------------------------------------------------------------------------------------------

// The places of the input with one remainder modulo stride see the same elements of the kernel: place stride * i + rest
// - padding sees element k, if k * dilation has that rest, of the output at i - k * dilation / stride.
struct Rest {
  int64_t first, count, place;           // i, how many, and where the first one is
  std::vector<int64_t> taps, distances;  // elements of the kernel, and k * dilation / stride
};
std::vector<Rest> rests(const ConvShape& s, int i) {
  std::vector<Rest> all;
  for (int64_t k = 0; k < std::min(s.in[i], s.stride[i]); ++k) {  // the others have no place
    const int64_t rest = (s.padding[i] + k) % s.stride[i];
    Rest r;
    r.first = -floor_div(rest - s.padding[i], s.stride[i]);
    r.count = -floor_div(rest - s.padding[i] - s.in[i], s.stride[i]) - r.first;
    r.place = s.stride[i] * r.first + rest - s.padding[i];
    for (int64_t k = 0; k < s.kernel[i]; ++k) {
      if (k * s.dilation[i] % s.stride[i] != rest) continue;
      r.taps.push_back(k);
      r.distances.push_back(k * s.dilation[i] / s.stride[i]);
    }
    if (r.count > 0) all.push_back(std::move(r));
  }
  return all;
}
// The output, with as much padding as the input's places reach into.
Axis padded_output(const ConvShape& s, int i, const std::vector<Rest>& all) {
  int64_t low = 0, high = 0;
  for (const Rest& r : all) {
    for (const int64_t d : r.distances) {
      low = std::min(low, r.first - d);
      high = std::max(high, r.first + r.count - d);
    }
  }
  return {s.out[i], 1, -low, std::max<int64_t>(1, high - low), {0}};
}
Positions places(const ConvShape& s, const Padded& padded, const Rest& d, const Rest& h, const Rest& w) {
  const int64_t row = s.in[2], plane = s.in[1] * row;
  Positions p{{d.count, h.count, w.count},
              d.place * plane + h.place * row + w.place,
              {s.stride[0] * plane, s.stride[1] * row, s.stride[2]},
              {},
              {},
              {},
              {},
              {}};
  const int64_t phase[3] = {0, 0, 0};
  for (size_t i = 0; i < d.taps.size(); ++i) {
    for (size_t j = 0; j < h.taps.size(); ++j) {
      for (size_t k = 0; k < w.taps.size(); ++k) {
        p.taps.push_back((d.taps[i] * s.kernel[1] + h.taps[j]) * s.kernel[2] + w.taps[k]);
        p.offsets.push_back(padded.at(phase, {d.first - d.distances[i] + padded.axis[0].padding,
                                              h.first - h.distances[j] + padded.axis[1].padding,
                                              w.first - w.distances[k] + padded.axis[2].padding}));
      }
    }
  }
  return p;
}

// (group, channel, feature, taps) of (group, feature, channel, all elements).
template <class T>
void turn_weights(const ConvShape& s, const T* w, const std::vector<int64_t>& taps, T* to) {
  const int64_t all = s.taps(), n = static_cast<int64_t>(taps.size()), rows = s.groups * s.channels;
  parallel_for(rows, std::max<int64_t>(1, 32768 / (s.features * n + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t group = row / s.channels, c = row % s.channels;
      T* out = to + row * s.features * n;
      for (int64_t o = 0; o < s.features; ++o) {
        const T* from = w + ((group * s.features + o) * s.channels + c) * all;
        for (int64_t i = 0; i < n; ++i) *out++ = from[taps[i]];
      }
    }
  });
}

// ---- sums over positions --------------------------------------------------------------------------------------------

// Padded images with their channels side by side, `wide` of them.
template <class T>
void channels_last(const Padded& p, const ConvShape& s, const T* x, int64_t images, int64_t wide, T* to) {
  const int64_t size = p.size(), planes = s.channels;
  parallel_for(images * s.groups, std::max<int64_t>(1, 32768 / (size * wide)), [&](int64_t begin, int64_t end) {
    Scratch<T> plane(planes * size);
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t c = 0; c < planes; ++c) pad(p, x + (i * planes + c) * s.in_size(), plane.get() + c * size);
      T* image = to + i * size * wide;
      transpose(planes, size, plane.get(), size, image, wide);
      for (int64_t j = 0; j < size && wide > planes; ++j) std::fill_n(image + j * wide + planes, wide - planes, T(0));
    }
  });
}

// sums(group, feature, tap, channel) += y x' over the given images.
template <class T>
void weigh_images(const ConvShape& s, const T* last, int64_t image, int64_t wide, const int32_t* places,
                  const std::vector<int64_t>& starts, const T* y, int64_t images, bool add, T* sums) {
  const ConvKernels<T>& f = kernels<T>();
  const int64_t positions = s.out_size(), registers = static_cast<int64_t>(starts.size());
  const int64_t together = std::clamp<int64_t>(kWeighSteps / positions, 1, images);
  const int64_t pieces = std::max<int64_t>(1, positions / kWeighSteps);
  const GemmPanels panels(s.features, f.rows);
  const int64_t rows = s.groups * panels.count,
                parts = std::min(ceil_div(registers, 4), ceil_div(8 * thread_count(), rows));
  const int64_t work = images * s.groups * s.features * registers * f.lanes * positions;
  const int64_t grain = work < kSerial ? rows * parts : std::max<int64_t>(1, kTaskWork / (work / (rows * parts) + 1));
  parallel_for(rows * parts, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t part = t % parts, panel = t / parts % panels.count, group = t / parts / panels.count;
      const int64_t from = ceil_div(registers, 2) * part / parts * 2;
      const int64_t to = std::min(registers, ceil_div(registers, 2) * (part + 1) / parts * 2);
      const int64_t feature = group * s.features + panels.first(panel);
      bool more = add;
      for (int64_t i = 0; i < images; i += together) {
        const T* a = y + (i * s.groups * s.features + feature) * positions;
        for (int64_t piece = 0; piece < pieces; ++piece) {
          const int64_t p = positions * piece / pieces, q = positions * (piece + 1) / pieces;
          f.sum({panels.rows(panel), to - from, q - p, std::min(together, images - i), a + p, positions,
                 s.groups * s.features * positions, last + i * s.groups * image + group * image, s.groups * image,
                 starts.data() + from, places + p, sums + feature * registers * f.lanes + from * f.lanes,
                 registers * f.lanes, more, a + q});
          more = true;
        }
      }
    }
  });
}

}  // namespace

template <class T>
bool correlate_directly(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  const Padded padded = padded_input(s);
  // Sums of few products are soon formed; leaving them in place, as a product of matrices does, then weighs more.
  if (!fits<T>(padded, s, s.groups * s.channels) || (s.groups == 1 && s.depth() < kFewSteps)) return false;
  std::vector<Positions> all{all_positions(s, padded)};
  all[0].deal(padded, kernels<T>().lanes);
  if (!worth(all, kernels<T>().lanes)) return false;
  correlate<T>({s.batch, s.groups, s.channels, s.features, s.in_size(), s.out_size(), padded, x, bias, y}, all, {w});
  return true;
}

template <class T>
bool spread_directly(const ConvShape& s, const T* y, const T* w, const T* bias, T* x) {
  if (s.groups == 1 && s.features > 4 * s.channels) return false;  // too few rows for a tile
  Padded padded;
  std::vector<Rest> rest[3];
  for (int i = 0; i < 3; ++i) {
    rest[i] = rests(s, i);
    padded.axis[i] = padded_output(s, i, rest[i]);
  }
  if (!fits<T>(padded, s, s.groups * s.features)) return false;
  std::vector<Positions> all;
  for (const Rest& d : rest[0]) {
    for (const Rest& h : rest[1]) {
      for (const Rest& v : rest[2]) {
        all.push_back(places(s, padded, d, h, v));
        all.back().deal(padded, kernels<T>().lanes);
      }
    }
  }
  if (!worth(all, kernels<T>().lanes)) return false;
  Scratch<T> turned(s.groups * s.features * s.depth());
  std::vector<const T*> weights;
  T* to = turned.get();
  for (const Positions& p : all) {
    turn_weights(s, w, p.taps, to);
    weights.push_back(to);
    to += s.groups * s.channels * s.features * static_cast<int64_t>(p.taps.size());
  }
  correlate<T>({s.batch, s.groups, s.features, s.channels, s.out_size(), s.in_size(), padded, y, bias, x}, all,
               weights);
  return true;
}

template <class T>
bool weigh_directly(const ConvShape& s, const T* x, const T* y, T* w) {
  const Padded padded = padded_input(s);
  const int64_t lanes = kernels<T>().lanes, wide = ceil_div(s.channels, lanes) * lanes;
  if (!fits<T>(padded, s, s.groups * wide) || static_cast<double>(s.channels) < kUsedLanes * static_cast<double>(wide))
    return false;
  const int64_t image = padded.size() * wide;
  const Positions p = all_positions(s, padded);
  std::vector<int32_t> places;
  for (int64_t i = 0; i < s.out[0]; ++i) {
    for (int64_t j = 0; j < s.out[1]; ++j) {
      for (int64_t k = 0; k < s.out[2]; ++k)
        places.push_back(static_cast<int32_t>((i * padded.step(0) + j * padded.step(1) + k) * wide));
    }
  }
  std::vector<int64_t> starts;
  for (const int64_t at : p.offsets) {
    for (int64_t c = 0; c < wide; c += lanes) starts.push_back(at * wide + c);
  }
  const int64_t taps = s.taps(), row = taps * wide, rows = s.groups * s.features;
  const int64_t together = std::clamp<int64_t>(kTogetherBytes / int64_t{sizeof(T)} / (s.groups * image), 1, s.batch);
  Scratch<T> sums(rows * row), last(together * s.groups * image);
  for (int64_t first = 0; first < s.batch; first += together) {
    const int64_t images = std::min(together, s.batch - first);
    channels_last(padded, s, x + first * s.groups * s.channels * s.in_size(), images, wide, last.get());
    weigh_images(s, last.get(), image, wide, places.data(), starts, y + first * rows * s.out_size(), images, first > 0,
                 sums.get());
  }
  parallel_for(rows, std::max<int64_t>(1, 32768 / row), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      transpose(taps, s.channels, sums.get() + o * row, wide, w + o * s.depth(), taps);
  });
  return true;
}

template bool correlate_directly(const ConvShape&, const float*, const float*, const float*, float*);
template bool correlate_directly(const ConvShape&, const double*, const double*, const double*, double*);
template bool spread_directly(const ConvShape&, const float*, const float*, const float*, float*);
template bool spread_directly(const ConvShape&, const double*, const double*, const double*, double*);
template bool weigh_directly(const ConvShape&, const float*, const float*, float*);
template bool weigh_directly(const ConvShape&, const double*, const double*, double*);

}  // namespace bulssi
