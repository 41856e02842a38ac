"""Trainers in C and Rust of a tiny character model: built rightly, and wrongly in five ways of the incident.

Both predict the next of 128 symbols from the one before it: an embedding, a hidden layer, an output, all quantized to
int8 with the scale of their tensor, under Adam with float32 masters and a straight-through estimator. The C one prints
text and dumps raw float32, the Rust one JSON lines and safetensors.
"""

from __future__ import annotations

#: The five ways, each with the cause that a dump of the weights names.
FAULTS = {
    "SWALLOWED": "update-swallowed",  # weights are stored in int8, with no master copy
    "NO_SCALE": "not-dequantized",  # codes are taken for values
    "UNSIGNED": "sign-lost",  # uint8 without a zero point
    "BLOCKED": "gradient-blocked",  # the gradient of rounding is taken for what it is
    "FALLBACK": "no-op",  # an unknown format is float32
}

#: Built with `-DFAULT`.
TRAINER_C = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define V 128
#define D 24
#define BATCH 128

typedef struct { const char *name; int rows; float *w, *q, *g, *m, *v, *old, *want; } Tensor;
static Tensor T[3] = {{"embedding", V}, {"hidden", D}, {"output", V}};
static int int8 = 0;
static uint64_t state;

static double uniform(void) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(state >> 33) / 2147483648.0;
}

static void quantize(const float *w, float *q, int n) {
    float top = 1e-12f;
    for (int i = 0; i < n; i++) top = fmaxf(top, fabsf(w[i]));
    for (int i = 0; i < n; i++) {
        q[i] = w[i];
#ifndef FALLBACK
        if (!int8) continue;
#ifdef UNSIGNED
        float s = top / 255;
        q[i] = fminf(fmaxf(nearbyintf(w[i] / s), 0), 255) * s;
#else
        float s = top / 127, code = fminf(fmaxf(nearbyintf(w[i] / s), -127), 127);
#ifdef NO_SCALE
        q[i] = code;
#else
        q[i] = code * s;
#endif
#endif
#endif
    }
}

/* The loss in bits of one pair, and its gradient where one is asked for. */
static double pair(int from, int to, float scale) {
    const float *e = T[0].q + from * D;
    float h[D], p[V], dh[D] = {0};
    double top = -1e30, sum = 0;
    for (int i = 0; i < D; i++) {
        float a = 0;
        for (int j = 0; j < D; j++) a += T[1].q[i * D + j] * e[j];
        h[i] = tanhf(a);
    }
    for (int k = 0; k < V; k++) {
        p[k] = 0;
        for (int i = 0; i < D; i++) p[k] += T[2].q[k * D + i] * h[i];
        if (p[k] > top) top = p[k];
    }
    double own = p[to] - top;
    for (int k = 0; k < V; k++) sum += p[k] = expf(p[k] - top);
    double bits = (log(sum) - own) / log(2);
    if (scale == 0) return bits;
    for (int k = 0; k < V; k++) {
        float d = (p[k] / sum - (k == to)) * scale;
        for (int i = 0; i < D; i++) { T[2].g[k * D + i] += d * h[i]; dh[i] += d * T[2].q[k * D + i]; }
    }
    for (int i = 0; i < D; i++) {
        float d = dh[i] * (1 - h[i] * h[i]);
        for (int j = 0; j < D; j++) {
            T[1].g[i * D + j] += d * e[j];
            T[0].g[from * D + j] += d * T[1].q[i * D + j];
        }
    }
    return bits;
}

static void dump(const char *folder, int step, const char *role, int t, const float *x) {
    char path[4096];
    snprintf(path, sizeof path, "%s/step-%d", folder, step), mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/step-%d/%s", folder, step, role), mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/step-%d/%s/%s.%dx%d.f32", folder, step, role, T[t].name, T[t].rows, D);
    FILE *file = fopen(path, "wb");
    fwrite(x, 4, (size_t)T[t].rows * D, file);
    fclose(file);
}

int main(int argc, char **argv) {
    int steps = 100, seed = 47;
    float lr = 0.0015f;
    const char *data = NULL, *weights = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--format")) int8 = !strcmp(argv[i + 1], "int8");
        if (!strcmp(argv[i], "--steps")) steps = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--seed")) seed = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--lr")) lr = atof(argv[i + 1]);
        if (!strcmp(argv[i], "--data")) data = argv[i + 1];
        if (!strcmp(argv[i], "--weights")) weights = argv[i + 1];
    }
    FILE *file = fopen(data, "rb");
    static unsigned char text[1 << 20];
    int size = file ? (int)fread(text, 1, sizeof text, file) : 0, cut = size * 9 / 10;
    if (size < 100000) { fprintf(stderr, "no corpus\n"); return 3; }
    state = (uint64_t)seed;
    for (int t = 0; t < 3; t++) {
        int n = T[t].rows * D;
        float **all[] = {&T[t].w, &T[t].q, &T[t].g, &T[t].m, &T[t].v, &T[t].old, &T[t].want};
        for (int i = 0; i < 7; i++) *all[i] = calloc(n, 4);
        for (int i = 0; i < n; i++) T[t].w[i] = (float)(uniform() - 0.5);
#ifdef SWALLOWED
        quantize(T[t].w, T[t].q, n), memcpy(T[t].w, T[t].q, 4 * n);
#endif
    }
    for (int step = 0; step <= steps; step++) {
        for (int t = 0; t < 3; t++) quantize(T[t].w, T[t].q, T[t].rows * D), memset(T[t].g, 0, 4 * T[t].rows * D);
        if (step % 10 == 0) {
            double bits = 0;
            for (int i = 0; i < 2000; i++) bits += pair(text[cut + i] & 127, text[cut + i + 1] & 127, 0);
            printf("step=%d val_bpb=%.6f\n", step, bits / 2000);
        }
        if (step == steps) break;
        for (int i = 0; i < BATCH; i++) {
            int at = (int)(uniform() * (cut - 1));
            pair(text[at] & 127, text[at + 1] & 127, 1.0f / BATCH);
        }
        int shown = weights && (step == 0 || step == steps - 1);
        for (int t = 0; t < 3; t++) {
            int n = T[t].rows * D;
            if (shown) {
                dump(weights, step, "weights", t, T[t].w), dump(weights, step, "quantized", t, T[t].q);
                dump(weights, step, "reference", t, T[t].g);
            }
#ifdef BLOCKED
            if (int8) memset(T[t].g, 0, 4 * n);
#endif
            if (shown) dump(weights, step, "gradient", t, T[t].g);
            for (int i = 0; i < n; i++) {
                float g = T[t].g[i];
                T[t].m[i] = 0.9f * T[t].m[i] + 0.1f * g;
                T[t].v[i] = 0.999f * T[t].v[i] + 0.001f * g * g;
                float m = T[t].m[i] / (1 - powf(0.9f, step + 1)), v = T[t].v[i] / (1 - powf(0.999f, step + 1));
                T[t].w[i] -= lr * m / (sqrtf(v) + 1e-8f);
            }
            if (shown) dump(weights, step, "intended", t, T[t].w);
#ifdef SWALLOWED
            quantize(T[t].w, T[t].q, n), memcpy(T[t].w, T[t].q, 4 * n);
#endif
            if (shown) dump(weights, step, "stored", t, T[t].w);
        }
    }
    return 0;
}
"""

#: Built with `--cfg FAULT`.
TRAINER_RUST = r"""
use std::io::Write;

const V: usize = 128;
const D: usize = 24;
const BATCH: usize = 128;
const NAMES: [&str; 3] = ["embedding", "hidden", "output"];
const ROWS: [usize; 3] = [V, D, V];

fn quantize(w: &[f32], int8: bool) -> Vec<f32> {
    let top = w.iter().fold(1e-12f32, |a, x| a.max(x.abs()));
    if !int8 || cfg!(FALLBACK) { return w.to_vec(); }
    w.iter().map(|x| {
        if cfg!(UNSIGNED) {
            let s = top / 255.0;
            return (x / s).round().clamp(0.0, 255.0) * s;
        }
        let s = top / 127.0;
        let code = (x / s).round().clamp(-127.0, 127.0);
        if cfg!(NO_SCALE) { code } else { code * s }
    }).collect()
}

fn pair(q: &[Vec<f32>; 3], from: usize, to: usize, mut g: Option<(&mut [Vec<f32>; 3], f32)>) -> f64 {
    let e = &q[0][from * D..(from + 1) * D];
    let h: Vec<f32> = (0..D).map(|i| (0..D).map(|j| q[1][i * D + j] * e[j]).sum::<f32>().tanh()).collect();
    let p: Vec<f32> = (0..V).map(|k| (0..D).map(|i| q[2][k * D + i] * h[i]).sum()).collect();
    let top = p.iter().fold(f32::MIN, |a, x| a.max(*x));
    let sum: f64 = p.iter().map(|x| ((x - top) as f64).exp()).sum();
    let bits = (sum.ln() - (p[to] - top) as f64) / 2f64.ln();
    if let Some((g, scale)) = g.as_mut() {
        let mut dh = vec![0f32; D];
        for k in 0..V {
            let own = if k == to { 1.0 } else { 0.0 };
            let d = (((p[k] - top) as f64).exp() / sum - own) as f32 * *scale;
            for i in 0..D { g[2][k * D + i] += d * h[i]; dh[i] += d * q[2][k * D + i]; }
        }
        for i in 0..D {
            let d = dh[i] * (1.0 - h[i] * h[i]);
            for j in 0..D { g[1][i * D + j] += d * e[j]; g[0][from * D + j] += d * q[1][i * D + j]; }
        }
    }
    bits
}

fn dump(folder: &str, step: usize, role: &str, x: &[Vec<f32>; 3]) {
    let place = format!("{folder}/step-{step}");
    std::fs::create_dir_all(&place).unwrap();
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    for t in 0..3 {
        let begin = bytes.len();
        for value in &x[t] { bytes.extend(value.to_le_bytes()); }
        entries.push(format!("\"{}\":{{\"dtype\":\"F32\",\"shape\":[{},{}],\"data_offsets\":[{},{}]}}",
            NAMES[t], ROWS[t], D, begin, bytes.len()));
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = std::fs::File::create(format!("{place}/{role}.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&bytes).unwrap();
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let said = |name: &str, otherwise: &str| words.iter().position(|word| word == name)
        .map_or(otherwise.to_string(), |place| words[place + 1].clone());
    let int8 = said("--format", "f32") == "int8";
    let steps: usize = said("--steps", "100").parse().unwrap();
    let lr: f32 = said("--lr", "0.0015").parse().unwrap();
    let weights = said("--weights", "");
    let mut state: u64 = said("--seed", "47").parse().unwrap();
    let text = std::fs::read(said("--data", "")).expect("no corpus");
    let cut = text.len() * 9 / 10;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / 2147483648.0
    };
    let zeros = || [vec![0f32; V * D], vec![0f32; D * D], vec![0f32; V * D]];
    let (mut w, mut m, mut v) = (zeros(), zeros(), zeros());
    for t in 0..3 {
        for x in w[t].iter_mut() { *x = uniform() as f32 - 0.5; }
        if cfg!(SWALLOWED) { w[t] = quantize(&w[t], int8); }
    }
    for step in 0..=steps {
        let q = [quantize(&w[0], int8), quantize(&w[1], int8), quantize(&w[2], int8)];
        if step % 10 == 0 {
            let bits: f64 = (0..2000).map(|i|
                pair(&q, text[cut + i] as usize & 127, text[cut + i + 1] as usize & 127, None)).sum();
            println!("{{\"step\": {step}, \"val_bpb\": {:.6}, \"loss\": null}}", bits / 2000.0);
        }
        if step == steps { break; }
        let mut g = zeros();
        for _ in 0..BATCH {
            let at = (uniform() * (cut - 1) as f64) as usize;
            pair(&q, text[at] as usize & 127, text[at + 1] as usize & 127, Some((&mut g, 1.0 / BATCH as f32)));
        }
        let shown = !weights.is_empty() && (step == 0 || step == steps - 1);
        if shown {
            dump(&weights, step, "weights", &w);
            dump(&weights, step, "quantized", &q);
            dump(&weights, step, "reference", &g);
        }
        if cfg!(BLOCKED) && int8 { g = zeros(); }
        if shown { dump(&weights, step, "gradient", &g); }
        for t in 0..3 {
            for i in 0..w[t].len() {
                m[t][i] = 0.9 * m[t][i] + 0.1 * g[t][i];
                v[t][i] = 0.999 * v[t][i] + 0.001 * g[t][i] * g[t][i];
                let n = step as i32 + 1;
                let (a, b) = (m[t][i] / (1.0 - 0.9f32.powi(n)), v[t][i] / (1.0 - 0.999f32.powi(n)));
                w[t][i] -= lr * a / (b.sqrt() + 1e-8);
            }
        }
        if shown { dump(&weights, step, "intended", &w); }
        if cfg!(SWALLOWED) { for t in 0..3 { w[t] = quantize(&w[t], int8); } }
        if shown { dump(&weights, step, "stored", &w); }
    }
}
"""
