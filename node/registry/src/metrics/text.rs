//! Prometheus' text format in the making.

use std::fmt::{Display, Write as _};

/// The text. Names and labels are ours; none needs to be escaped.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family: what it is, before its lines.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            self.0,
            "# HELP trustnet_registry_{name} {help}\n# TYPE trustnet_registry_{name} {kind}\n"
        );
    }

    pub(super) fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "trustnet_registry_{name}{labels} {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.line(name, "", value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.line(name, "", value);
    }

    /// All of it.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    #[cfg(test)]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Thousandths or millionths as a decimal number.
pub(super) fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    format!("{}.{:0digits$}", value / unit, value % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_zeros() {
        assert_eq!(
            (decimal(0, 1_000), decimal(1_050, 1_000), decimal(2, 1_000_000)),
            ("0.000".into(), "1.050".into(), "0.000002".into())
        );
    }
}
