//! Every state of a WebSocket connection and every way between them, and which data frame may follow which.
//!
//! [`after`] is the only place where a state changes; it knows neither client nor server. `docs/websocket_states.dot` is
//! drawn from it.
#![forbid(unsafe_code)]

/// Where a connection stands on its way to being closed (RFC 6455 §1.4, §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages go both ways.
    #[default]
    Open,
    /// We have sent a Close frame: the peer's messages may still come, and its Close frame will.
    CloseSent,
    /// The peer has sent a Close frame: ours is due.
    CloseReceived,
    /// Both have sent one: the transport may be closed.
    Closed,
    /// The peer broke the protocol or a limit: nothing of what it sends is read any more. A Close frame says why.
    Failed,
    /// The transport has ended.
    Ended,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A data frame, Ping or Pong of ours was queued.
    Send,
    /// A data frame, Ping or Pong of the peer was read.
    Receive,
    /// Our Close frame was queued.
    SendClose,
    /// The peer's Close frame was read.
    ReceiveClose,
    /// The peer broke the protocol or a limit.
    Fault,
    /// The transport ended.
    End,
}

impl State {
    /// All states, in the order of a connection's life.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::CloseSent, Self::CloseReceived, Self::Closed, Self::Failed, Self::Ended];

    /// Whether messages can be sent.
    #[must_use]
    pub const fn may_send(self) -> bool {
        after(self, Step::Send).is_some()
    }

    /// Whether the peer may send more.
    #[must_use]
    pub const fn may_receive(self) -> bool {
        after(self, Step::Receive).is_some()
    }
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 6] =
        [Self::Send, Self::Receive, Self::SendClose, Self::ReceiveClose, Self::Fault, Self::End];
}

/// The state that follows `state` by `step`; `None` when the step is impossible there.
#[must_use]
pub const fn after(state: State, step: Step) -> Option<State> {
    Some(match (state, step) {
        (State::Open, Step::Send | Step::Receive) => State::Open,
        // RFC 6455 §5.5.1: behind its Close frame a side sends no more data, but reads until the other's.
        (State::CloseSent, Step::Receive) | (State::Open, Step::SendClose) => State::CloseSent,
        (State::Open, Step::ReceiveClose) => State::CloseReceived,
        (State::CloseSent, Step::ReceiveClose) | (State::CloseReceived, Step::SendClose) => State::Closed,
        // RFC 6455 §7.1.7: a failed connection sends a Close frame, unless it has, and reads no more.
        (State::Open | State::CloseSent, Step::Fault) | (State::Failed, Step::SendClose) => State::Failed,
        (_, Step::End) => State::Ended,
        _ => return None,
    })
}

/// Where the data frames of one direction stand (RFC 6455 §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// The next data frame begins a message.
    #[default]
    Between,
    /// The next data frame continues one.
    Within,
}

/// What follows a data frame; `None` if it may not stand there. Control frames may stand anywhere and change nothing.
#[must_use]
pub const fn sequence(before: Sequence, is_continuation: bool, is_final: bool) -> Option<Sequence> {
    match (before, is_continuation, is_final) {
        (Sequence::Between, false, true) | (Sequence::Within, true, true) => Some(Sequence::Between),
        (Sequence::Between, false, false) | (Sequence::Within, true, false) => Some(Sequence::Within),
        (Sequence::Between, true, _) | (Sequence::Within, false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_diagram_in_docs_is_the_one_of_this_table() {
        let mut dot =
            String::from("digraph websocket {\n    rankdir = LR;\n    Open [shape = doublecircle];\n");
        for from in State::ALL {
            for step in Step::ALL {
                if let Some(to) = after(from, step) {
                    writeln!(dot, "    {from:?} -> {to:?} [label = \"{step:?}\"];").unwrap();
                }
            }
        }
        dot.push_str("}\n");
        assert_eq!(
            dot,
            include_str!("../../../docs/websocket_states.dot"),
            "put this into docs/websocket_states.dot:\n{dot}"
        );
    }

    #[test]
    fn rfc6455_5_5_1_nothing_is_sent_behind_a_close_frame() {
        for state in [State::CloseSent, State::Closed, State::Ended] {
            assert!(!state.may_send(), "{state:?}");
            assert_eq!(after(state, Step::SendClose), None, "{state:?}");
        }
    }

    #[test]
    fn rfc6455_7_1_7_nothing_is_read_after_a_fault_and_nothing_leaves_the_end() {
        assert!(!State::Failed.may_receive() && after(State::Failed, Step::ReceiveClose).is_none());
        for step in Step::ALL {
            assert!(matches!(after(State::Ended, step), None | Some(State::Ended)), "{step:?}");
        }
    }

    #[test]
    fn rfc6455_5_4_messages_do_not_mix() {
        use Sequence::{Between, Within};
        let cases = [
            (Between, false, true, Some(Between)),
            (Between, false, false, Some(Within)),
            (Between, true, true, None),
            (Between, true, false, None),
            (Within, true, false, Some(Within)),
            (Within, true, true, Some(Between)),
            (Within, false, true, None),
            (Within, false, false, None),
        ];
        for (before, is_continuation, is_final, expected) in cases {
            assert_eq!(sequence(before, is_continuation, is_final), expected);
        }
    }
}
