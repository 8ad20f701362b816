//! Failures as the user sees them: a message, a hint, an exit code.

use std::fmt;

/// Exit code for a failure of the tool itself, as docker uses it.
pub const FAILURE: u8 = 125;
/// Exit code for a program that exists and cannot be executed, as shells and docker use it.
pub const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a program that was not found, as shells and docker use it.
pub const NOT_FOUND: u8 = 127;

/// A failure with what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    message: String,
    hints: Vec<String>,
    code: u8,
}

impl Problem {
    /// Makes a failure of the tool; `message` says what was tried and what was found.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), code: FAILURE }
    }

    /// Makes the failure of a larger step from that of a smaller one: its message goes on, hints and code are kept.
    pub fn within(step: &str, error: &anyhow::Error) -> Self {
        let mut problem = Self::new(format!("{step}: {error:#}"));
        for cause in error.chain().filter_map(|cause| cause.downcast_ref::<Self>()) {
            problem.hints.extend(cause.hints.iter().cloned());
            problem.code = cause.code;
        }
        problem
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Formats an error chain as the lines that go to the user, and finds its exit code.
pub fn explain(error: &anyhow::Error) -> (String, u8) {
    let mut text = format!("error: {error:#}\n");
    let mut code = FAILURE;
    for problem in error.chain().filter_map(|cause| cause.downcast_ref::<Problem>()) {
        code = problem.code;
        for hint in &problem.hints {
            text += &format!("hint: {hint}\n");
        }
    }
    (text, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_chain_the_hints_and_the_code_reach_the_user() {
        let problem = Problem::new("no such program").hint("install it").code(NOT_FOUND);
        let error = Err::<(), _>(problem).context("cannot run \"x\"").unwrap_err();
        let (text, code) = explain(&error);
        assert_eq!(text, "error: cannot run \"x\": no such program\nhint: install it\n");
        assert_eq!(code, NOT_FOUND);
        let larger = Problem::within("recipe y", &error).hint("or not");
        let (text, code) = explain(&larger.into());
        assert_eq!(
            text,
            "error: recipe y: cannot run \"x\": no such program\nhint: install it\nhint: or not\n"
        );
        assert_eq!(code, NOT_FOUND);
    }
}
