//! Every state of one side of a connection and every way between them.
//!
//! [`after`] is the only place where a state changes. It knows neither client nor server: a server's reader follows
//! the requests with it, a client's reader the responses. `docs/http1_states.dot` is drawn from this function.
#![forbid(unsafe_code)]

/// Where one direction of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Between messages: the next bytes are a head.
    Idle,
    /// A head was read, its body not yet to the end.
    Body,
    /// The message is complete. The next one may not be read before [`Step::Next`].
    Done,
    /// No further message can follow: the framing is lost, or this was the last one.
    MustClose,
    /// The bytes that follow belong to another protocol (101, or CONNECT).
    Switched,
    /// The end of the stream.
    Closed,
}

/// What happened to one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An interim (1xx) response, which another head follows.
    Informational,
    /// The head of a message.
    Head,
    /// A piece of the body.
    Data,
    /// The end of the body, trailers included.
    End,
    /// The cycle is over and the connection stays.
    Next,
    /// The cycle is over and was the last one.
    Last,
    /// The connection goes on with another protocol.
    Switch,
    /// The peer broke the protocol, or we gave up on its message.
    Fault,
    /// The stream ended.
    Close,
}

impl State {
    /// All states, in the order of a message's life.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Body, Self::Done, Self::MustClose, Self::Switched, Self::Closed];
}

impl Step {
    /// All steps, in the order of a message's life.
    pub const ALL: [Self; 9] = [
        Self::Informational,
        Self::Head,
        Self::Data,
        Self::End,
        Self::Next,
        Self::Last,
        Self::Switch,
        Self::Fault,
        Self::Close,
    ];
}

/// The state that follows `state` by `step`; `None` when the step is impossible there.
#[must_use]
pub const fn after(state: State, step: Step) -> Option<State> {
    Some(match (state, step) {
        (State::Idle, Step::Informational) | (State::Done, Step::Next) => State::Idle,
        (State::Idle, Step::Head) | (State::Body, Step::Data) => State::Body,
        (State::Body, Step::End) => State::Done,
        (State::Done, Step::Switch) => State::Switched,
        (State::Done, Step::Last)
        | (State::Idle | State::Body | State::Done | State::MustClose, Step::Fault) => State::MustClose,
        (_, Step::Close) => State::Closed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_diagram_in_docs_is_the_one_of_this_table() {
        let mut dot = String::from("digraph http1 {\n    rankdir = LR;\n    Idle [shape = doublecircle];\n");
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
            include_str!("../../../docs/http1_states.dot"),
            "put this into docs/http1_states.dot:\n{dot}"
        );
    }

    #[test]
    fn nothing_leaves_closed_and_nothing_is_read_after_a_fault() {
        for step in Step::ALL {
            assert!(matches!(after(State::Closed, step), None | Some(State::Closed)), "{step:?}");
            assert!(
                matches!(after(State::MustClose, step), None | Some(State::MustClose | State::Closed)),
                "{step:?}"
            );
        }
    }
}
