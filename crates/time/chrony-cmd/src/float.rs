//! The protocol's own 32-bit floating-point format.
//!
//! Seven bits of signed exponent above 25 bits of signed coefficient; the value is `coefficient * 2^(exponent - 25)`.
//! There is no hidden bit, no infinity and no NaN.

const COEFFICIENT_BITS: u32 = 25;
const COEFFICIENT_MAX: i64 = (1 << (COEFFICIENT_BITS - 1)) - 1;
const EXPONENT_MIN: i32 = -64;
const EXPONENT_MAX: i32 = 63;

/// The value that the 32 bits stand for.
pub fn decode(bits: u32) -> f64 {
    // Both fields are two's complement: shift each to the top of a signed word and back to extend its sign.
    let exponent = bits as i32 >> COEFFICIENT_BITS;
    let coefficient = (bits << (32 - COEFFICIENT_BITS)) as i32 >> (32 - COEFFICIENT_BITS);
    f64::from(coefficient) * 2f64.powi(exponent - COEFFICIENT_BITS as i32)
}

/// The nearest bits to `value`. Not-a-number becomes zero; what is too large becomes the largest of its sign; what is
/// too small becomes zero.
pub fn encode(value: f64) -> u32 {
    let magnitude = value.abs();
    // Also takes the subnormal numbers away, so that the exponent field below is always the true one.
    if value.is_nan() || magnitude < 1e-100 {
        return 0;
    }
    let negative = value < 0.0;
    let (mut exponent, mut coefficient);
    if magnitude > 1e100 {
        exponent = EXPONENT_MAX + 1;
        coefficient = COEFFICIENT_MAX;
    } else {
        // magnitude = m * 2^e with m in [0.5, 1); 24 bits of m are the coefficient.
        let e = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1022;
        exponent = e + 1;
        coefficient = (magnitude * 2f64.powi(COEFFICIENT_BITS as i32 - 1 - e)).round() as i64;
        if coefficient > COEFFICIENT_MAX {
            coefficient >>= 1;
            exponent += 1;
        }
    }
    if exponent > EXPONENT_MAX {
        exponent = EXPONENT_MAX;
        coefficient = if negative { COEFFICIENT_MAX + 1 } else { COEFFICIENT_MAX };
    } else if exponent < EXPONENT_MIN {
        let shift = EXPONENT_MIN - exponent;
        coefficient = if shift < COEFFICIENT_BITS as i32 { coefficient >> shift } else { 0 };
        exponent = if coefficient == 0 { 0 } else { EXPONENT_MIN };
    }
    if negative {
        coefficient = -coefficient;
    }
    (exponent as u32) << COEFFICIENT_BITS | (coefficient as u32 & ((1 << COEFFICIENT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the format's edges. The expected bits follow from the definition: exponent << 25 | coefficient.
    #[test]
    fn values_become_the_bits_of_the_format() {
        let check = |value: f64, bits: u32| assert_eq!(encode(value), bits, "{value}: {:08x}", encode(value));
        check(0.0, 0);
        check(-0.0, 0);
        check(f64::NAN, 0);
        check(1e-120, 0);
        check(1.0, 2 << 25 | 1 << 23);
        check(-1.0, 2 << 25 | (0x0200_0000 - (1 << 23)));
        check(0.1, (-2i32 as u32) << 25 | 13_421_773);
        check(100.0, 8 << 25 | 100 << 17);
        check(1e30, 63 << 25 | 0x00ff_ffff);
        check(-1e30, 63 << 25 | 0x0100_0000);
        check(f64::INFINITY, 63 << 25 | 0x00ff_ffff);
    }

    /// Goal: what is sent is read back within the format's 24 bits.
    #[test]
    fn a_value_survives_the_wire() {
        for value in [1e-9, -3.5e-7, 0.123456789, 3.0, -12345.678, 1e9, 0.3, 2f64.powi(-60), 16777215.5] {
            let back = decode(encode(value));
            assert!((back - value).abs() <= value.abs() * 2f64.powi(-23), "{value} came back as {back}");
        }
    }

    /// Goal: decoding is exact for every exponent and both signs.
    #[test]
    fn bits_become_their_value() {
        let check = |bits: u32, value: f64| assert_eq!(decode(bits), value);
        check(2 << 25 | 1 << 23, 1.0);
        check(0x0100_0000, -0.5);
        check(0x8000_0001, 2f64.powi(-89));
        check(0x7eff_ffff, 16_777_215.0 * 2f64.powi(38));
    }
}
