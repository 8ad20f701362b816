//! Sequence numbers: 32 bits that wrap, compared by their distance (RFC 9293, section 3.4).

use core::ops::{Add, Sub};

/// A sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub(crate) struct Seq(pub u32);

impl Seq {
    /// Returns how far this one is behind `other`; negative if it is in front of it.
    pub(crate) const fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Returns the distance from `other`, 0 if this one is in front of it.
    pub(crate) fn distance(self, other: Self) -> usize {
        usize::try_from(self.since(other)).unwrap_or(0)
    }

    /// Says whether this one comes before `other`.
    pub(crate) const fn before(self, other: Self) -> bool {
        self.since(other) < 0
    }

    /// Says whether this one comes after `other`.
    pub(crate) const fn after(self, other: Self) -> bool {
        self.since(other) > 0
    }

    /// Returns the later one.
    pub(crate) const fn later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// Returns the earlier one.
    pub(crate) const fn earlier(self, other: Self) -> Self {
        if self.after(other) { other } else { self }
    }
}

impl Add<usize> for Seq {
    type Output = Self;

    fn add(self, len: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
        let len = len as u32;
        Self(self.0.wrapping_add(len))
    }
}

impl Sub<usize> for Seq {
    type Output = Self;

    fn sub(self, len: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
        let len = len as u32;
        Self(self.0.wrapping_sub(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let (low, high) = (Seq(u32::MAX - 5), Seq(10));
        assert!(low.before(high) && high.after(low) && !low.after(high));
        assert_eq!((high.distance(low), low.distance(high)), (16, 0));
        assert_eq!((low + 16, high - 16), (high, low));
        assert_eq!((low.later(high), low.earlier(high)), (high, low));
    }
}
