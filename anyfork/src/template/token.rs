//! [`Token`]: what an event of an epoll set is about.
//! RUNS IN: template, monitor
//!
//! The kernel hands a `u64` back with each event. Only this file knows what its bits
//! mean. A pid is nobody else's while its process is not reaped, so it names the
//! child without a table.

/// What an event of a template's epoll set, or of a monitor's, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The socket by which the process is controlled: the template's control socket,
    /// or the monitor's socket to its template.
    Control,
    /// The event descriptor by which spares announce their notices.
    Notices,
    /// The pidfd of a child: the child has exited.
    Exited(u32),
    /// The status pipe of a child: nobody holds the read end any more.
    Abandoned(u32),
    /// The socket to the monitor of this pid: the monitor returns a child, or is
    /// gone.
    Monitor(u32),
}

impl Token {
    /// The number for epoll(7): a kind in the upper half, a pid in the lower one.
    pub(crate) fn encode(self) -> u64 {
        let (kind, pid) = match self {
            Token::Control => (0, 0),
            Token::Notices => (1, 0),
            Token::Exited(pid) => (2, pid),
            Token::Abandoned(pid) => (3, pid),
            Token::Monitor(pid) => (4, pid),
        };
        kind << 32 | u64::from(pid)
    }

    /// The token, if the number is one.
    pub(crate) fn decode(number: u64) -> Option<Token> {
        let pid = number as u32;
        match (number >> 32, pid) {
            (0, 0) => Some(Token::Control),
            (1, 0) => Some(Token::Notices),
            (2, _) => Some(Token::Exited(pid)),
            (3, _) => Some(Token::Abandoned(pid)),
            (4, _) => Some(Token::Monitor(pid)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_comes_back() {
        let of_pid = [Token::Exited, Token::Abandoned, Token::Monitor];
        let with_pid = [1, 4711, 1 << 22, u32::MAX].map(|pid| of_pid.map(|token| token(pid)));
        let tokens = [Token::Control, Token::Notices].into_iter();
        for token in tokens.chain(with_pid.into_iter().flatten()) {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
    }

    #[test]
    fn no_two_tokens_have_one_number() {
        let numbers = [
            Token::Control,
            Token::Notices,
            Token::Exited(7),
            Token::Exited(8),
            Token::Abandoned(7),
            Token::Monitor(7),
        ]
        .map(Token::encode);
        for (at, number) in numbers.iter().enumerate() {
            assert!(!numbers[..at].contains(number));
        }
    }

    #[test]
    fn other_numbers_are_no_token() {
        for number in [1, 1 << 32 | 7, 5 << 32, 1 << 63 | 7, u64::MAX] {
            assert_eq!(Token::decode(number), None);
        }
    }
}
