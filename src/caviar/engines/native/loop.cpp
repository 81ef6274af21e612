// An epoch of many small networks on one CPU thread: lane after lane, each while its numbers are in the
// cache. Chains of Linear, BatchNorm1d, activation and Dropout, cross-entropy, torch's optimizers.
//
// Samples are rows; a row's length is rounded up to whole vectors and what is added there stays 0 or is
// never read. The formulas are those of layers.py, backend.py and optimizers.py, in the same order.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace {

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

template <class T> struct Wide;
template <> struct Wide<float> {
    typedef float V __attribute__((vector_size(BYTES)));
    typedef float Loose __attribute__((vector_size(BYTES), aligned(4), may_alias));
    typedef int32_t I __attribute__((vector_size(BYTES)));
};
template <> struct Wide<double> {
    typedef double V __attribute__((vector_size(BYTES)));
    typedef double Loose __attribute__((vector_size(BYTES), aligned(8), may_alias));
    typedef int64_t I __attribute__((vector_size(BYTES)));
};
template <class T> using Vec = typename Wide<T>::V;
template <class T> constexpr int LENGTH = BYTES / int(sizeof(T));

template <class T> inline Vec<T> load(const T* from) {
    return *reinterpret_cast<const typename Wide<T>::Loose*>(from);
}
template <class T> inline void store(T* to, Vec<T> value) {
    *reinterpret_cast<typename Wide<T>::Loose*>(to) = value;
}
template <class T> inline void store_some(T* to, Vec<T> value, long count) {
    if (count >= LENGTH<T>) {
        store(to, value);
    } else {
        for (long i = 0; i < count; i++) to[i] = value[i];
    }
}
template <class T> inline long rounded(long count) {
    return (count + LENGTH<T> - 1) / LENGTH<T> * LENGTH<T>;
}

// ---------------------------------------------------------------------------------- functions

inline Vec<float> exp_(Vec<float> x) {  // Cephes' expf: two units in the last place
    typedef Wide<float>::I I;
    x = x > 88.0f ? Vec<float>{} + 88.0f : x;  // NaN compares false and stays
    x = x < -87.0f ? Vec<float>{} - 87.0f : x;
    Vec<float> shifted = x * 1.44269504088896341f + 12582912.0f;  // rounds to whole numbers
    Vec<float> n = shifted - 12582912.0f;
    I power;
    std::memcpy(&power, &shifted, sizeof power);
    Vec<float> r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    Vec<float> y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    I bits = (power - 0x4B400000 + 127) << 23;
    Vec<float> scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return y * scale;
}
inline Vec<double> exp_(Vec<double> x) {
    for (int i = 0; i < LENGTH<double>; i++) x[i] = std::exp(x[i]);
    return x;
}
inline Vec<float> tanh_(Vec<float> x) { return 1.0f - 2.0f / (exp_(2.0f * x) + 1.0f); }
inline Vec<double> tanh_(Vec<double> x) {
    for (int i = 0; i < LENGTH<double>; i++) x[i] = std::tanh(x[i]);
    return x;
}
// The normal distribution's function at x, from its bell exp(-x*x/2): Abramowitz and Stegun 7.1.26,
// within 1.5e-7; libm's for double.
inline Vec<float> normal_(Vec<float> x, Vec<float> bell) {
    Vec<float> z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
    Vec<float> t = 1.0f / (1.0f + 0.3275911f * z);
    Vec<float> p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = (p * t + 0.254829592f) * t;
    Vec<float> tail = 0.5f * p * bell;
    return x < 0.0f ? tail : 1.0f - tail;
}
inline Vec<double> normal_(Vec<double> x, Vec<double>) {
    for (int i = 0; i < LENGTH<double>; i++) x[i] = 0.5 * std::erfc(-x[i] * 0.70710678118654752440);
    return x;
}
template <class T> inline Vec<T> sqrt_(Vec<T> x) {
    for (int i = 0; i < LENGTH<T>; i++) x[i] = std::sqrt(x[i]);  // becomes one instruction
    return x;
}

enum Activation { RELU, LEAKY_RELU, ELU, GELU, GELU_TANH, SILU, TANH, SIGMOID, MISH, SOFTPLUS };

// What an activation gives for x, and its slope there.
template <class T, int KIND> inline Vec<T> activation(T number, Vec<T> x, Vec<T>& slope) {
    const Vec<T> one = Vec<T>{} + T(1);
    switch (KIND) {
    case RELU:  // of -inf it is 0, of NaN NaN
        slope = x > T(0) ? one : one * T(0);
        return x > T(0) ? x : x < T(0) ? one * T(0) : x;
    case LEAKY_RELU:
        slope = x > T(0) ? one : one * number;
        return x > T(0) ? x : x * number;
    case ELU: {
        Vec<T> e = exp_(x > T(0) ? one * T(0) : x) * number;
        slope = x > T(0) ? one : e;
        return x > T(0) ? x : e - number;
    }
    case GELU: {
        Vec<T> bell = exp_(x * x * T(-0.5));
        Vec<T> phi = normal_(x, bell);
        slope = phi + x * bell * T(0.39894228040143267794);
        return x * phi;
    }
    case GELU_TANH: {
        const T a = T(0.79788456080286535588), b = T(0.044715);
        Vec<T> t = tanh_(a * (x + b * x * x * x));
        slope = T(0.5) * (one + t) + T(0.5) * x * (one - t * t) * a * (one + T(3) * b * x * x);
        return T(0.5) * x * (one + t);
    }
    case SILU: {
        Vec<T> s = one / (one + exp_(-x));
        slope = s * (one + x * (one - s));
        return x * s;
    }
    case MISH: {  // x * tanh(softplus(x)), which is 1 from 20 on
        Vec<T> e = exp_(x > T(20) ? one * T(20) : x), square = e * (e + T(2));
        Vec<T> t = square / (square + T(2));
        slope = t + x * (one - t * t) * (e / (one + e));
        return x * t;
    }
    case SOFTPLUS: {  // x itself from 20 on, as torch has it
        Vec<T> e = exp_(x > T(20) ? one * T(20) : x), y = e;
        for (int i = 0; i < LENGTH<T>; i++) y[i] = std::log1p(e[i]);
        slope = x > T(20) ? one : e / (one + e);
        return x > T(20) ? x : y;
    }
    case TANH: {
        Vec<T> t = tanh_(x);
        slope = one - t * t;
        return t;
    }
    default: {
        Vec<T> s = one / (one + exp_(-x));
        slope = s * (one - s);
        return s;
    }
    }
}

// ---------------------------------------------------------------------------------- random numbers

constexpr int NUMBERS = 16;  // of 16 bits, in a block

// Philox 4x64 in ten rounds, as philox.py has it: a block's numbers are a function of its place.
inline void philox(uint64_t place, uint64_t layer, uint64_t seed, uint64_t epoch, int16_t* numbers) {
    uint64_t words[4] = {place, layer, 0, 0};
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 first = words[0] * static_cast<unsigned __int128>(0xD2E7470EE14C6C93);
        const unsigned __int128 second = words[2] * static_cast<unsigned __int128>(0xCA5A826395121157);
        words[0] = uint64_t(second >> 64) ^ words[1] ^ seed;
        words[1] = uint64_t(second);
        words[2] = uint64_t(first >> 64) ^ words[3] ^ epoch;
        words[3] = uint64_t(first);
        seed += 0x9E3779B97F4A7C15;
        epoch += 0xBB67AE8584CAA73B;
    }
    std::memcpy(numbers, words, sizeof words);
}

// ---------------------------------------------------------------------------------- turning

// a0 b0 a1 b1 … of the first halves, or of the second.
template <class T, bool SECOND> inline Vec<T> zip(Vec<T> a, Vec<T> b) {
    constexpr int L = LENGTH<T>;
    typename Wide<T>::I places;
    for (int i = 0; i < L; i++) places[i] = i / 2 + (i % 2) * L + (SECOND ? L / 2 : 0);
#if defined(__clang__)
    Vec<T> found;
    for (int i = 0; i < L; i++) found[i] = places[i] < L ? a[places[i]] : b[places[i] - L];
    return found;
#else
    return __builtin_shuffle(a, b, places);
#endif
}

// to[k * to_row + o] = from[o * from_row + k] for a square of whole vectors: to zip the rows of the
// upper half with those of the lower turns the numbers' places by one bit, and log2(L) bits are all.
template <class T> inline void turn_square(const T* from, long from_row, T* to, long to_row) {
    constexpr int L = LENGTH<T>;
    Vec<T> rows[L], next[L];
    for (int i = 0; i < L; i++) rows[i] = load(from + i * from_row);
    for (int size = 1; size < L; size *= 2) {
        for (int i = 0; i < L / 2; i++) {
            next[2 * i] = zip<T, false>(rows[i], rows[i + L / 2]);
            next[2 * i + 1] = zip<T, true>(rows[i], rows[i + L / 2]);
        }
        for (int i = 0; i < L; i++) rows[i] = next[i];
    }
    for (int i = 0; i < L; i++) store(to + i * to_row, rows[i]);
}

// The same for `rows` times `columns` numbers; what `to` has beyond them in its rows becomes 0.
template <class T>
void turn(const T* from, long from_row, long rows, long columns, T* to, long to_row) {
    constexpr int L = LENGTH<T>;
    const long whole_rows = rows / L * L, whole_columns = columns / L * L;
    for (long o = 0; o < whole_rows; o += L)
        for (long k = 0; k < whole_columns; k += L)
            turn_square<T>(from + o * from_row + k, from_row, to + k * to_row + o, to_row);
    for (long k = 0; k < columns; k++) {
        T* row = to + k * to_row;
        for (long o = k < whole_columns ? whole_rows : 0; o < rows; o++) row[o] = from[o * from_row + k];
        for (long o = rows; o < to_row; o++) row[o] = 0;
    }
}

// ---------------------------------------------------------------------------------- products

template <class T, int ROWS, int VECS>
inline void tile(long depth, const T* a, long a_row, long a_next, const T* b, long b_next, T* c,
                 long c_row, long columns, const T* start) {
    constexpr int L = LENGTH<T>;
    Vec<T> sum[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) sum[r][v] = start ? load(start + v * L) : Vec<T>{};
    for (long k = 0; k < depth; k++) {
        Vec<T> row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load(b + v * L);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECS; v++) sum[r][v] += a[r * a_row] * row[v];
        a += a_next;
        b += b_next;
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) store_some(c + r * c_row + v * L, sum[r][v], columns - v * L);
}

template <class T, int VECS>
inline void strip(long rows, long depth, const T* a, long a_row, long a_next, const T* b,
                  long b_next, T* c, long c_row, long columns, const T* start) {
    constexpr int MOST = BYTES == 64 ? 8 : 6;  // rows whose sums, by two vectors, registers hold
    long r = 0;
    for (; r + MOST <= rows; r += MOST)
        tile<T, MOST, VECS>(depth, a + r * a_row, a_row, a_next, b, b_next, c + r * c_row, c_row, columns, start);
    a += r * a_row;
    c += r * c_row;
    switch (rows - r) {
    case 7: tile<T, 7, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 6: tile<T, 6, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 5: tile<T, 5, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 4: tile<T, 4, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 3: tile<T, 3, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 2: tile<T, 2, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    case 1: tile<T, 1, VECS>(depth, a, a_row, a_next, b, b_next, c, c_row, columns, start); break;
    }
}

// c[r, j] = start[j] + sum over k of a[r * a_row + k * a_next] * b[k * b_next + j]. Rows of b (and
// start) can be read in whole vectors; of c, `columns` numbers a row are written.
template <class T>
void product(long rows, long columns, long depth, const T* a, long a_row, long a_next, const T* b,
             long b_next, T* c, long c_row, const T* start) {
    constexpr int L = LENGTH<T>;
    for (long j = 0; j < columns; j += 2 * L) {
        const T* first = start ? start + j : nullptr;
        if (columns - j > L)
            strip<T, 2>(rows, depth, a, a_row, a_next, b + j, b_next, c + j, c_row, columns - j, first);
        else
            strip<T, 1>(rows, depth, a, a_row, a_next, b + j, b_next, c + j, c_row, columns - j, first);
    }
}

// ---------------------------------------------------------------------------------- networks

enum Kind { LINEAR, BATCH_NORM, ACTIVATION, DROPOUT };

}  // namespace

extern "C" {

// A layer; what it does not have is -1 or null.
struct Layer {
    int64_t kind;
    int64_t activation;
    int64_t weight, bias;     // where they begin in a lane's row of parameters
    int64_t mean, var;        // where they begin in a lane's row of running statistics
    int64_t row;              // numbers from one row of a Linear's weight to the next
    int64_t place;            // which of the dropout layers it is
    double number;            // an activation's setting
    const void* first;        // a number a lane: eps, or a dropout's chance
    const void* second;       // a number a lane: momentum
};

struct Net {
    const Layer* layers;
    int64_t count;
    int64_t lanes;
    const int64_t* widths;    // (lanes, count + 1): units before and after each layer
    void* parameters;         // (lanes, numbers)
    int64_t numbers;
    void* running;            // (lanes, running_numbers)
    int64_t running_numbers;
    const void* x;            // (samples, features)
    const int64_t* y;         // (samples,)
    const void* smoothing;    // (lanes,)
    const void* weights;      // (lanes, classes)
};

struct Steps {
    int64_t optimizer;        // see the enum below
    int64_t steps, batch;     // of this call; the last batch may be smaller
    int64_t samples;          // that they go through
    const int64_t* order;     // (lanes, order_row)
    int64_t order_row;
    void* slots[2];           // (lanes, numbers)
    const void* constants[6]; // (lanes,)
    const void* columns;      // (steps, column_count, lanes)
    int64_t column_count;
    int64_t decayed;
    const void* norm;         // (lanes,) or null
    const void* value;
    const int64_t* keys;      // (2, lanes): seeds and epochs
    void* losses;             // (lanes,): the sum over steps is added
};

struct Evaluation {
    int64_t samples, batch;
    void* probabilities;      // (lanes, classes, samples)
    void* losses;             // (lanes,): the sum over samples is written
};
}

namespace {

// A field's kind: a pointer, a number, or a whole one; as it is in Python's module `array`.
template <class F>
constexpr char KIND = std::is_pointer_v<std::remove_extent_t<F>> ? 'P' : std::is_same_v<F, double> ? 'd' : 'q';

enum Optimizer { SGD, ADAM, ADAMW, RMSPROP };

// What optimizers.py calls the numbers that each of them takes, in their order: constants, and columns.
#define SGD_CONSTANTS(X) X(momentum) X(weight_decay) X(nesterov)
#define SGD_COLUMNS(X) X(lr)
#define ADAM_CONSTANTS(X) X(beta2) X(eps) X(weight_decay) X(rest1) X(rest2)
#define ADAM_COLUMNS(X) X(step_size) X(root_correction) X(shrink)
#define RMSPROP_CONSTANTS(X) X(alpha) X(eps) X(momentum) X(weight_decay) X(rest)
#define RMSPROP_COLUMNS(X) X(lr)
constexpr int MOST_CONSTANTS = sizeof(Steps::constants) / sizeof(void*);

// Memory of one call, given out piece by piece; one without any counts what would be.
class Arena {
  public:
    Arena() = default;
    explicit Arena(size_t bytes) : memory_(static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))) {
        if (memory_) std::memset(memory_, 0, (bytes + 63) / 64 * 64);
    }
    ~Arena() { std::free(memory_); }
    bool ok() const { return memory_ != nullptr; }
    size_t taken() const { return taken_; }
    template <class T> T* take(long count) {
        T* piece = memory_ ? reinterpret_cast<T*>(memory_ + taken_) : nullptr;
        taken_ += (count * sizeof(T) + 127) / 64 * 64;
        return piece;
    }

  private:
    char* memory_ = nullptr;
    size_t taken_ = 0;
};

template <class T> class Lane {
  public:
    // What it works in, for lanes of any width up to the widest.
    static size_t bytes(const Net& net, long batch) {
        Arena none;
        Lane lane(net, batch, none);
        return none.taken() + 4096;
    }

    Lane(const Net& net, long batch, Arena& arena) : net_(net) {
        gradients_ = arena.take<T>(net.numbers);
        flow_ = arena.take<T>(batch * widest(net));
        other_ = arena.take<T>(batch * widest(net));
        for (long i = 0; i <= net.count; i++) {
            out_[i] = arena.take<T>(batch * most(net, i));
            kept_[i] = arena.take<T>(batch * most(net, i));
        }
        for (long i = 0; i < net.count; i++) {
            turned_[i] = arena.take<T>(most(net, i) * most(net, i + 1));
            straight_[i] = arena.take<T>(most(net, i) * most(net, i + 1));
            vectors_[i] = arena.take<T>(most(net, i + 1) * 4);
        }
        logits_ = arena.take<T>(most(net, net.count) * LENGTH<T>);
        powers_ = arena.take<T>(most(net, net.count) * LENGTH<T>);
    }

    void on(long lane) {
        lane_ = lane;
        widths_ = net_.widths + lane * (net_.count + 1);
        parameters_ = static_cast<T*>(net_.parameters) + lane * net_.numbers;
        running_ = static_cast<T*>(net_.running) + lane * net_.running_numbers;
        std::memset(gradients_, 0, net_.numbers * sizeof(T));
    }

    // Rows of the data into the first layer's input.
    void gather(const int64_t* rows, long first, long batch) {
        const long features = widths_[0], pitch = rounded<T>(features);
        const T* x = static_cast<const T*>(net_.x);
        for (long r = 0; r < batch; r++) {
            const long row = rows ? rows[r] : first + r;
            std::memcpy(out_[0] + r * pitch, x + row * features, features * sizeof(T));
        }
    }

    // `steps` is null where nothing is trained.
    void forward(long batch, const Steps* steps, long step) {
        for (long i = 0; i < net_.count; i++) {
            const Layer& layer = net_.layers[i];
            switch (layer.kind) {
            case LINEAR: linear(i, layer, batch); break;
            case BATCH_NORM: steps ? batch_norm(i, layer, batch) : normalise(i, layer, batch); break;
            case ACTIVATION: activate(i, layer, batch); break;
            default: drop(i, layer, batch, steps, step);
            }
        }
    }

    // The sum of the samples' losses; `flow_` becomes its gradient over the logits, divided by `batch`.
    // A vector's length of samples at a time, turned: a class is a vector.
    T loss(const int64_t* rows, long first, long batch, T* probabilities, long samples) {
        constexpr int L = LENGTH<T>;
        const long classes = widths_[net_.count], pitch = rounded<T>(classes);
        const T* weights = static_cast<const T*>(net_.weights) + lane_ * classes;
        const T smoothing = static_cast<const T*>(net_.smoothing)[lane_];
        const T share = smoothing / T(classes), part = 1 / T(batch);
        T all = 0, total = 0;
        for (long c = 0; c < classes; c++) all += weights[c];
        for (long r = 0; r < batch; r += L) {
            const long count = std::min<long>(L, batch - r);
            turn<T>(out_[net_.count] + r * pitch, pitch, count, pitch, logits_, L);
            Vec<T> most = load(logits_), sum{}, spread{}, log_sum, weight{}, own{};
            for (long c = 1; c < classes; c++) {
                const Vec<T> z = load(logits_ + c * L);
                most = z > most ? z : most;
            }
            for (long c = 0; c < classes; c++) {
                const Vec<T> power = exp_(load(logits_ + c * L) - most);
                store(powers_ + c * L, power);
                sum += power;
            }
            for (int i = 0; i < L; i++) log_sum[i] = std::log(sum[i]);
            if (smoothing != 0)
                for (long c = 0; c < classes; c++)
                    spread += weights[c] * (load(logits_ + c * L) - most - log_sum);
            int64_t targets[L];
            for (int i = 0; i < count; i++) {
                targets[i] = net_.y[rows ? rows[r + i] : first + r + i];
                weight[i] = (1 - smoothing) * weights[targets[i]];
                own[i] = logits_[targets[i] * L + i];
            }
            const Vec<T> losses = weight * (own - most - log_sum) + share * spread;
            for (int i = 0; i < count; i++) total -= losses[i];
            if (probabilities) {
                for (long c = 0; c < classes; c++)
                    store_some(probabilities + c * samples + r, load(powers_ + c * L) / sum, count);
                continue;
            }
            const Vec<T> pull = (weight + share * all) / sum;
            for (long c = 0; c < classes; c++)
                store(powers_ + c * L, (pull * load(powers_ + c * L) - share * weights[c]) * part);
            for (int i = 0; i < count; i++) powers_[targets[i] * L + i] -= weight[i] * part;
            turn<T>(powers_, L, pitch, count, flow_ + r * pitch, pitch);
        }
        return total;
    }

    void backward(long batch) {
        long first = 0;  // what comes before the first parameters needs no gradient
        while (net_.layers[first].weight < 0) first++;
        for (long i = net_.count - 1; i >= first; i--) {
            const Layer& layer = net_.layers[i];
            switch (layer.kind) {
            case LINEAR: linear_back(i, layer, batch, i > first); break;
            case BATCH_NORM: batch_norm_back(i, layer, batch); break;
            default:
                if (layer.kind == ACTIVATION && layer.activation == RELU)
                    only_where(flow_, kept_[i + 1], batch * rounded<T>(widths_[i + 1]));
                else
                    times(flow_, kept_[i + 1], batch * rounded<T>(widths_[i + 1]));
            }
        }
    }

    void clip(const Steps& steps) {
        constexpr int L = LENGTH<T>;
        const long n = net_.numbers;
        if (steps.norm) {
            T sum = 0;
            for (long j = 0; j < n; j += L) {
                Vec<T> g = load(gradients_ + j), square = g * g;
                for (int q = 0; q < L; q++) sum += square[q];
            }
            const T factor = static_cast<const T*>(steps.norm)[lane_] / (std::sqrt(sum) + T(1e-6));
            if (!(factor >= 1))
                for (long j = 0; j < n; j += L) store(gradients_ + j, load(gradients_ + j) * factor);
        }
        if (steps.value) {
            const T most = static_cast<const T*>(steps.value)[lane_];
            for (long j = 0; j < n; j++) {
                T& g = gradients_[j];
                g = g > most ? most : g < -most ? -most : g;
            }
        }
    }

    void update(const Steps& steps, long step) {
        constexpr int L = LENGTH<T>;
        const long n = net_.numbers;
        T* slot[2];
        for (int s = 0; s < 2; s++)
            slot[s] = steps.slots[s] ? static_cast<T*>(steps.slots[s]) + lane_ * n : nullptr;
        T constants[MOST_CONSTANTS], column[3], *constant = constants;
        for (int c = 0; c < MOST_CONSTANTS; c++)
            constants[c] = steps.constants[c] ? static_cast<const T*>(steps.constants[c])[lane_] : T(0);
        const T* columns = static_cast<const T*>(steps.columns) + step * steps.column_count * net_.lanes;
        for (long c = 0; c < steps.column_count; c++) column[c] = columns[c * net_.lanes + lane_];
#define TAKE_CONSTANT(name) const T name = *constant++;
#define TAKE_COLUMN(name) const T name = *columned++;
        const T* columned = column;
        T *p = parameters_, *g = gradients_;
        switch (steps.optimizer) {
        case SGD: {
            SGD_CONSTANTS(TAKE_CONSTANT)
            SGD_COLUMNS(TAKE_COLUMN)
            const T ahead = nesterov > 0 ? momentum : T(1);
            for (long j = 0; j < n; j += L) {
                Vec<T> w = load(p + j), d = load(g + j);
                if (j < steps.decayed) d += w * weight_decay;
                Vec<T> v = load(slot[0] + j) * momentum + d;
                store(slot[0] + j, v);
                store(p + j, w - (v * ahead + d * nesterov) * lr);
            }
            break;
        }
        case ADAM:
        case ADAMW: {
            ADAM_CONSTANTS(TAKE_CONSTANT)
            ADAM_COLUMNS(TAKE_COLUMN)
            const T over_root = 1 / root_correction;  // a division less
            for (long j = 0; j < n; j += L) {
                Vec<T> w = load(p + j), d = load(g + j);
                if (j < steps.decayed) {
                    if (steps.optimizer == ADAM) d += w * weight_decay;
                    else w *= shrink;
                }
                Vec<T> m = load(slot[0] + j);
                m += rest1 * (d - m);
                Vec<T> v = load(slot[1] + j) * beta2 + d * rest2 * d;
                store(slot[0] + j, m);
                store(slot[1] + j, v);
                store(p + j, w - step_size * m / (sqrt_<T>(v) * over_root + eps));
            }
            break;
        }
        default: {
            RMSPROP_CONSTANTS(TAKE_CONSTANT)
            RMSPROP_COLUMNS(TAKE_COLUMN)
            for (long j = 0; j < n; j += L) {
                Vec<T> w = load(p + j), d = load(g + j);
                if (j < steps.decayed) d += w * weight_decay;
                Vec<T> s = load(slot[0] + j) * alpha + d * rest * d;
                Vec<T> v = load(slot[1] + j) * momentum + d / (sqrt_<T>(s) + eps);
                store(slot[0] + j, s);
                store(slot[1] + j, v);
                store(p + j, w - v * lr);
            }
        }
        }
#undef TAKE_CONSTANT
#undef TAKE_COLUMN
    }

  private:
    static long most(const Net& net, long place) {
        long found = 0;
        for (long lane = 0; lane < net.lanes; lane++)
            found = std::max<long>(found, net.widths[lane * (net.count + 1) + place]);
        return rounded<T>(found);
    }
    static long widest(const Net& net) {
        long found = 0;
        for (long i = 0; i <= net.count; i++) found = std::max(found, most(net, i));
        return found;
    }
    void linear(long i, const Layer& layer, long batch) {
        const long into = widths_[i], out = widths_[i + 1], pitch = rounded<T>(out);
        const T* weight = parameters_ + layer.weight;
        T *turned = turned_[i], *bias = nullptr;
        turn<T>(weight, layer.row, out, into, turned, pitch);
        if (layer.bias >= 0) {
            bias = vectors_[i];
            for (long o = 0; o < pitch; o++) bias[o] = o < out ? parameters_[layer.bias + o] : T(0);
        }
        product<T>(batch, pitch, into, out_[i], rounded<T>(into), 1, turned, pitch, out_[i + 1], pitch, bias);
    }

    void linear_back(long i, const Layer& layer, long batch, bool further) {
        const long into = widths_[i], out = widths_[i + 1], pitch = rounded<T>(out), wide = rounded<T>(into);
        const T* weight = parameters_ + layer.weight;
        product<T>(out, into, batch, flow_, 1, pitch, out_[i], wide, gradients_ + layer.weight, layer.row, nullptr);
        if (layer.bias >= 0) column_sums(flow_, batch, out, gradients_ + layer.bias);
        if (!further) return;
        long row = layer.row;
        if (row % LENGTH<T>) {
            row = wide;
            for (long o = 0; o < out; o++)
                std::memcpy(straight_[i] + o * wide, weight + o * layer.row, into * sizeof(T));
            weight = straight_[i];
        }
        product<T>(batch, wide, out, flow_, pitch, 1, weight, row, other_, wide, nullptr);
        std::swap(flow_, other_);
    }

    void column_sums(const T* rows, long batch, long columns, T* to) {
        const long pitch = rounded<T>(columns);
        for (long j = 0; j < columns; j += LENGTH<T>) {
            Vec<T> sum{};
            for (long r = 0; r < batch; r++) sum += load(rows + r * pitch + j);
            store_some(to + j, sum, columns - j);
        }
    }

    T setting(const void* numbers) const { return static_cast<const T*>(numbers)[lane_]; }

    void batch_norm(long i, const Layer& layer, long batch) {
        constexpr int L = LENGTH<T>;
        const long units = widths_[i], pitch = rounded<T>(units);
        const T eps = setting(layer.first), share = setting(layer.second);
        const T part = 1 / T(batch), unbiased = T(batch) / T(batch - 1);
        const T *x = out_[i], *weight = parameters_ + layer.weight, *bias = parameters_ + layer.bias;
        T *normal = kept_[i + 1], *y = out_[i + 1], *scales = vectors_[i];
        for (long j = 0; j < pitch; j += L) {
            Vec<T> centre{}, spread{};
            for (long r = 0; r < batch; r++) centre += load(x + r * pitch + j);
            centre *= part;
            for (long r = 0; r < batch; r++) {
                Vec<T> gap = load(x + r * pitch + j) - centre;
                spread += gap * gap;
            }
            spread *= part;
            const Vec<T> scale = T(1) / sqrt_<T>(spread + eps);
            if (!is_finite(spread) || !is_finite(scale)) {
                batch_norm_wide(i, layer, batch, j);
                continue;
            }
            store(scales + j, scale);
            const bool affine = layer.weight >= 0;
            const Vec<T> w = affine ? load(weight + j) : scale, b = affine ? load(bias + j) : scale;
            for (long r = 0; r < batch; r++) {
                const Vec<T> n = (load(x + r * pitch + j) - centre) * scale;
                store(normal + r * pitch + j, n);
                store(y + r * pitch + j, affine ? n * w + b : n);
            }
            T *mean = running_ + layer.mean + j, *var = running_ + layer.var + j;
            const Vec<T> m = load(mean), v = load(var);
            store_some(mean, share * centre + (1 - share) * m, units - j);
            store_some(var, share * (spread * unbiased) + (1 - share) * v, units - j);
        }
    }

    static bool is_finite(Vec<T> x) {
        const Vec<T> none = x - x;  // NaN where it is not
        for (int q = 0; q < LENGTH<T>; q++)
            if (none[q] != 0) return false;
        return true;
    }

    // The same for a vector's length of units whose squares are too large for floats: in double, as torch.
    void batch_norm_wide(long i, const Layer& layer, long batch, long first) {
        const long units = widths_[i], pitch = rounded<T>(units), end = std::min(units, first + LENGTH<T>);
        const double eps = setting(layer.first), share = setting(layer.second);
        for (long j = first; j < end; j++) {
            const T* x = out_[i] + j;
            double centre = 0, spread = 0;
            for (long r = 0; r < batch; r++) centre += x[r * pitch];
            centre /= double(batch);
            for (long r = 0; r < batch; r++) {
                const double gap = x[r * pitch] - centre;
                spread += gap * gap;
            }
            const double scale = 1 / std::sqrt(spread / double(batch) + eps);
            vectors_[i][j] = T(scale);
            for (long r = 0; r < batch; r++) {
                const T n = T((x[r * pitch] - centre) * scale);
                kept_[i + 1][r * pitch + j] = n;
                out_[i + 1][r * pitch + j] =
                    layer.weight < 0 ? n : n * parameters_[layer.weight + j] + parameters_[layer.bias + j];
            }
            T &mean = running_[layer.mean + j], &var = running_[layer.var + j];
            mean = T(share * centre + (1 - share) * mean);
            var = T(share * (spread / double(batch - 1)) + (1 - share) * var);
        }
    }

    void batch_norm_back(long i, const Layer& layer, long batch) {
        constexpr int L = LENGTH<T>;
        const long units = widths_[i], pitch = rounded<T>(units);
        const T part = 1 / T(batch);
        const T *normal = kept_[i + 1], *scales = vectors_[i];
        for (long j = 0; j < pitch; j += L) {
            Vec<T> sum{}, along{};
            for (long r = 0; r < batch; r++) {
                const Vec<T> g = load(flow_ + r * pitch + j);
                sum += g;
                along += g * load(normal + r * pitch + j);
            }
            Vec<T> scale = load(scales + j);
            if (layer.weight >= 0) {
                store_some(gradients_ + layer.weight + j, along, units - j);
                store_some(gradients_ + layer.bias + j, sum, units - j);
                scale *= load(parameters_ + layer.weight + j);
            }
            sum *= part;
            along *= part;
            for (long r = 0; r < batch; r++) {
                T* g = flow_ + r * pitch + j;
                store(g, (load(g) - sum - load(normal + r * pitch + j) * along) * scale);
            }
        }
    }

    void normalise(long i, const Layer& layer, long batch) {
        const long units = widths_[i], pitch = rounded<T>(units);
        const T eps = setting(layer.first);
        for (long j = 0; j < pitch; j += LENGTH<T>) {
            const Vec<T> mean = load(running_ + layer.mean + j), var = load(running_ + layer.var + j);
            Vec<T> scale = T(1) / sqrt_<T>(var + eps), shift = -mean * scale;
            if (layer.weight >= 0) {
                scale *= load(parameters_ + layer.weight + j);
                shift = load(parameters_ + layer.bias + j) - mean * scale;
            }
            for (long r = 0; r < batch; r++)
                store(out_[i + 1] + r * pitch + j, load(out_[i] + r * pitch + j) * scale + shift);
        }
    }

    void activate(long i, const Layer& layer, long batch) {
        const long numbers = batch * rounded<T>(widths_[i]);
        const T *x = out_[i];
        T *y = out_[i + 1], *slopes = kept_[i + 1];
        static constexpr decltype(&activate_all<RELU>) ways[] = {  // in the order of Activation
            activate_all<RELU>, activate_all<LEAKY_RELU>, activate_all<ELU>, activate_all<GELU>,
            activate_all<GELU_TANH>, activate_all<SILU>, activate_all<TANH>, activate_all<SIGMOID>,
            activate_all<MISH>, activate_all<SOFTPLUS>,
        };
        ways[layer.activation](numbers, T(layer.number), x, y, slopes);
    }

    template <int KIND>
    static void activate_all(long numbers, T number, const T* x, T* y, T* slopes) {
        for (long j = 0; j < numbers; j += LENGTH<T>) {
            Vec<T> slope;
            store(y + j, activation<T, KIND>(number, load(x + j), slope));
            store(slopes + j, slope);
        }
    }

    void drop(long i, const Layer& layer, long batch, const Steps* steps, long step) {
        const long units = widths_[i], pitch = rounded<T>(units);
        const T* x = out_[i];
        T *y = out_[i + 1], *factors = kept_[i + 1];
        if (!steps) {
            std::memcpy(y, x, batch * pitch * sizeof(T));
            return;
        }
        const T p = setting(layer.first), scale = 1 / (1 - p);
        const int16_t limit = int16_t(std::min(std::nearbyint(p * 65536 - 32768), T(32767)));
        const uint64_t seed = steps->keys[lane_], epoch = steps->keys[net_.lanes + lane_];
        const uint64_t place = (uint64_t(step) << 32) + 1;
        const long row = (units + NUMBERS - 1) / NUMBERS, blocks = batch * row;
        // Some blocks are drawn before they are read: what was just written cannot be read in whole vectors.
        constexpr long DRAWN = 32;
        long r = 0, u = 0;
        for (long first = 0; first < blocks; first += DRAWN) {
            const long drawn = std::min(DRAWN, blocks - first);
            int16_t bits[DRAWN][NUMBERS];
            for (long b = 0; b < drawn; b++) philox(place + first + b, layer.place, seed, epoch, bits[b]);
            for (long b = 0; b < drawn; b++) {
                T* to = factors + r * pitch + u;
                const long count = std::min<long>(NUMBERS, units - u);
                if (count == NUMBERS)
                    for (int n = 0; n < NUMBERS; n++) to[n] = bits[b][n] >= limit ? scale : T(0);
                else
                    for (long n = 0; n < count; n++) to[n] = bits[b][n] >= limit ? scale : T(0);
                u += NUMBERS;
                if (u >= units) r++, u = 0;
            }
        }
        for (long j = 0; j < batch * pitch; j += LENGTH<T>) store(y + j, load(x + j) * load(factors + j));
    }

    static void times(T* values, const T* factors, long numbers) {
        for (long j = 0; j < numbers; j += LENGTH<T>) store(values + j, load(values + j) * load(factors + j));
    }

    // The same where the factors are 0 or 1, and 0 stops what is infinite too.
    static void only_where(T* values, const T* factors, long numbers) {
        for (long j = 0; j < numbers; j += LENGTH<T>) {
            const Vec<T> value = load(values + j);
            store(values + j, load(factors + j) != T(0) ? value : Vec<T>{});
        }
    }

    static constexpr long MOST = 128;  // layers; the caller asks for no more
    const Net& net_;
    long lane_ = 0;
    const int64_t* widths_ = nullptr;
    T *parameters_ = nullptr, *running_ = nullptr, *gradients_, *flow_, *other_, *logits_, *powers_;
    T *out_[MOST + 1], *kept_[MOST + 1], *turned_[MOST], *straight_[MOST], *vectors_[MOST];
};

template <class T> int train(const Net& net, const Steps& steps, const int64_t* lanes, long count) {
    Arena arena(Lane<T>::bytes(net, steps.batch));
    if (!arena.ok()) return 1;
    Lane<T> lane(net, steps.batch, arena);
    for (long n = 0; n < count; n++) {
        lane.on(lanes[n]);
        const int64_t* order = steps.order + lanes[n] * steps.order_row;
        T total = 0;
        for (long step = 0; step < steps.steps; step++) {
            const int64_t* rows = order + step * steps.batch;
            const long batch = std::min<long>(steps.batch, steps.samples - step * steps.batch);
            lane.gather(rows, 0, batch);
            lane.forward(batch, &steps, step);
            total += lane.loss(rows, 0, batch, nullptr, 0) / T(batch);
            lane.backward(batch);
            lane.clip(steps);
            lane.update(steps, step);
        }
        static_cast<T*>(steps.losses)[lanes[n]] += total;
    }
    return 0;
}

template <class T> int evaluate(const Net& net, const Evaluation& of, const int64_t* lanes, long count) {
    Arena arena(Lane<T>::bytes(net, of.batch));
    if (!arena.ok()) return 1;
    Lane<T> lane(net, of.batch, arena);
    for (long n = 0; n < count; n++) {
        lane.on(lanes[n]);
        const long classes = net.widths[lanes[n] * (net.count + 1) + net.count];
        T* probabilities = static_cast<T*>(of.probabilities) + lanes[n] * classes * of.samples;
        T total = 0;
        for (long first = 0; first < of.samples; first += of.batch) {
            const long batch = std::min<long>(of.batch, of.samples - first);
            lane.gather(nullptr, first, batch);
            lane.forward(batch, nullptr, 0);
            total += lane.loss(nullptr, first, batch, probabilities + first, of.samples);
        }
        static_cast<T*>(of.losses)[lanes[n]] = total;
    }
    return 0;
}

}  // namespace

extern "C" {

// What binding.py makes its structures of, a line each: fields, their kinds and where they lie, and the size.
// The last line is the order of each optimizer's numbers, which binding.py is held against.
const char* layout() {
    static char text[4096];
    char* end = text;
    auto add = [&](const char* format, auto... words) {
        end += std::snprintf(end, text + sizeof text - end, format, words...);
    };
#define FIELD(name) add(" %s:%c:%zu", #name, KIND<decltype(STRUCT::name)>, offsetof(STRUCT, name));
#define STRUCT Layer
    add("Layer");
    FIELD(kind) FIELD(activation) FIELD(weight) FIELD(bias) FIELD(mean) FIELD(var) FIELD(row) FIELD(place)
    FIELD(number) FIELD(first) FIELD(second)
    add(" size::%zu\n", sizeof(Layer));
#undef STRUCT
#define STRUCT Net
    add("Net");
    FIELD(layers) FIELD(count) FIELD(lanes) FIELD(widths) FIELD(parameters) FIELD(numbers) FIELD(running)
    FIELD(running_numbers) FIELD(x) FIELD(y) FIELD(smoothing) FIELD(weights)
    add(" size::%zu\n", sizeof(Net));
#undef STRUCT
#define STRUCT Steps
    add("Steps");
    FIELD(optimizer) FIELD(steps) FIELD(batch) FIELD(samples) FIELD(order) FIELD(order_row) FIELD(slots)
    FIELD(constants) FIELD(columns) FIELD(column_count) FIELD(decayed) FIELD(norm) FIELD(value)
    FIELD(keys) FIELD(losses)
    add(" size::%zu\n", sizeof(Steps));
#undef STRUCT
#define STRUCT Evaluation
    add("Evaluation");
    FIELD(samples) FIELD(batch) FIELD(probabilities) FIELD(losses)
    add(" size::%zu\n", sizeof(Evaluation));
#undef STRUCT
#define NUMBER(name) add("%s:0 ", #name);
    SGD_CONSTANTS(NUMBER) SGD_COLUMNS(NUMBER) add("SGD:%d ", SGD);
    ADAM_CONSTANTS(NUMBER) ADAM_COLUMNS(NUMBER) add("Adam:%d ", ADAM);
    ADAM_CONSTANTS(NUMBER) ADAM_COLUMNS(NUMBER) add("AdamW:%d ", ADAMW);
    RMSPROP_CONSTANTS(NUMBER) RMSPROP_COLUMNS(NUMBER) add("RMSprop:%d", RMSPROP);
    return text;
}

// Each returns 0, or 1 where there is no memory.
int train_float(const Net* net, const Steps* steps, const int64_t* lanes, int64_t count) {
    return train<float>(*net, *steps, lanes, count);
}
int train_double(const Net* net, const Steps* steps, const int64_t* lanes, int64_t count) {
    return train<double>(*net, *steps, lanes, count);
}
int evaluate_float(const Net* net, const Evaluation* of, const int64_t* lanes, int64_t count) {
    return evaluate<float>(*net, *of, lanes, count);
}
int evaluate_double(const Net* net, const Evaluation* of, const int64_t* lanes, int64_t count) {
    return evaluate<double>(*net, *of, lanes, count);
}
}
