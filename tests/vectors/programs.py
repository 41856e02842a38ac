"""Programs in C and Rust that answer the vectors of int8 and posit8, right and wrong, as the tests build them.

Each reads a vectors file from the standard input, an entry a line, and writes its answers as JSON.
"""

from __future__ import annotations

#: Rounds to nearest even and clamps; built with -DTRUNCATE it truncates, with -DWRAPS it forgets the clamp.
INT8_C = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t encode(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
#ifdef TRUNCATE
    double y = trunc(x);
#else
    double y = nearbyint(x);
#endif
#ifdef WRAPS
    if (fabs(y) < 1e9) return (uint32_t)(int32_t)y & 0xff;
#endif
    if (y > 127) y = 127;
    if (y < -127) y = -127;
    return (uint32_t)(int32_t)y & 0xff;
}

static uint32_t decode(uint32_t code) {
    float value = (float)(int8_t)code;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

int main(void) {
    char line[512];
    unsigned a;
    int values = 0, cases = 0;
    printf("{\"values\": [");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, " {\"code\": \"%x\"", &a) == 1)
            printf("%s{\"code\": \"0x%02x\", \"float32\": \"0x%08x\"}", values++ ? ",\n" : "", a, decode(a));
        if (sscanf(line, " {\"float32\": \"%x\"", &a) == 1) {
            if (!cases++) printf("], \"encode\": [");
            else printf(",\n");
            printf("{\"float32\": \"0x%08x\", \"code\": \"0x%02x\"}", a, encode(a));
        }
    }
    printf("]}\n");
    return 0;
}
"""

#: posit8 by its definition: decode, and the nearest code on the encoding by bisection. With `--cfg wrong` ties go to
#: the lower code, and what is below minpos becomes 0.
POSIT8_RUST = r"""
use std::io::BufRead;

fn decode(bits: u32, n: u32) -> f64 {
    let mask = (1u32 << n) - 1;
    if bits == 0 { return 0.0; }
    if bits == 1 << (n - 1) { return f64::NAN; }
    let negative = bits >> (n - 1) == 1;
    let body = if negative { bits.wrapping_neg() & mask } else { bits };
    let bit = |place: i32| -> u32 { if place < 0 { 0 } else { (body >> place) & 1 } };
    let mut place = n as i32 - 2;
    let first = bit(place);
    let mut run = 0;
    while place >= 0 && bit(place) == first { run += 1; place -= 1; }
    let k = if first == 1 { run - 1 } else { -run };
    place -= 1;
    let exponent = 4 * k + (bit(place) * 2 + bit(place - 1)) as i32;
    place -= 2;
    let (mut fraction, mut weight) = (1.0f64, 0.5f64);
    while place >= 0 { fraction += weight * bit(place) as f64; weight /= 2.0; place -= 1; }
    let value = fraction * 2f64.powi(exponent);
    if negative { -value } else { value }
}

fn encode(x: f32) -> u32 {
    if x.is_nan() { return 0x80; }
    if x == 0.0 { return 0; }
    let magnitude = x.abs() as f64;
    if cfg!(wrong) && magnitude < decode(1, 8) / 2.0 { return 0; }
    let mut code = 1u32;
    // Between the codes c and c + 1 of 8 bits lies 2c + 1 of 9.
    while code < 0x7f {
        let middle = decode(2 * code + 1, 9);
        let up = magnitude > middle || (magnitude == middle && code % 2 == 1 && !cfg!(wrong));
        if !up { break; }
        code += 1;
    }
    if x < 0.0 { code.wrapping_neg() & 0xff } else { code }
}

fn main() {
    let (mut values, mut cases) = (Vec::new(), Vec::new());
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let field = |name: &str| line.trim_start().strip_prefix(&format!("{{\"{name}\": \"0x"))
            .map(|rest| u32::from_str_radix(rest.split('"').next().unwrap(), 16).unwrap());
        if let Some(code) = field("code") {
            let bits = (decode(code, 8) as f32).to_bits();
            values.push(format!("{{\"code\": \"0x{code:02x}\", \"float32\": \"0x{bits:08x}\"}}"));
        }
        if let Some(bits) = field("float32") {
            let code = encode(f32::from_bits(bits));
            cases.push(format!("{{\"float32\": \"0x{bits:08x}\", \"code\": \"0x{code:02x}\"}}"));
        }
    }
    println!("{{\"values\": [{}], \"encode\": [{}]}}", values.join(",\n"), cases.join(",\n"));
}
"""
