//! The ways in which a peer can break the protocol, each with the code that its Close frame gets.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use super::close::CloseCode;

/// One row per way in which a peer can break the protocol: name, close code, section, text.
macro_rules! faults {
    ($($name:ident => $code:ident, $section:literal, $text:literal;)*) => {
        /// The peer of a WebSocket broke the protocol or a limit. The connection is failed (RFC 6455 §7.1.7): a Close
        /// frame with [`code`](Self::code) is sent, and nothing more is read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $(#[doc = concat!("The peer sent ", $text, " (", $section, ").")] $name,)*
        }

        impl Fault {
            /// Every kind there is; for counters and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the Close frame says.
            #[must_use]
            pub const fn code(self) -> CloseCode {
                match self { $(Self::$name => CloseCode::$code,)* }
            }

            /// The section of the standard that was broken, as `"RFC 6455 §5.2"`.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    // Frames.
    ReservedBit => PROTOCOL, "RFC 6455 §5.2", "a frame with a reserved bit that was not negotiated";
    OpcodeUnknown => PROTOCOL, "RFC 6455 §5.2", "a frame with a reserved opcode";
    MaskMissing => PROTOCOL, "RFC 6455 §5.1", "a client's frame without a mask";
    MaskUnexpected => PROTOCOL, "RFC 6455 §5.1", "a server's frame with a mask";
    LengthNotMinimal => PROTOCOL, "RFC 6455 §5.2", "a payload length in more bytes than it needs";
    LengthInvalid => PROTOCOL, "RFC 6455 §5.2", "a payload length of 64 bits";
    ControlFragmented => PROTOCOL, "RFC 6455 §5.5", "a control frame in fragments";
    ControlTooLong => PROTOCOL, "RFC 6455 §5.5", "a control frame with more than 125 bytes";
    ContinuationUnexpected => PROTOCOL, "RFC 6455 §5.4", "a continuation of no message";
    MessageInterrupted => PROTOCOL, "RFC 6455 §5.4", "a new message within another";
    // Close frames.
    CloseTooShort => PROTOCOL, "RFC 6455 §5.5.1", "a close frame with one byte";
    CloseCodeInvalid => PROTOCOL, "RFC 6455 §7.4", "a close code that may not be sent";
    CloseReasonInvalid => INVALID_PAYLOAD, "RFC 6455 §5.5.1", "a close reason that is not UTF-8";
    // Messages.
    TextInvalid => INVALID_PAYLOAD, "RFC 6455 §8.1", "a text that is not UTF-8";
    KindRefused => UNSUPPORTED, "RFC 6455 §7.4.1", "a message of a kind that is not taken";
    FrameTooLarge => TOO_BIG, "RFC 6455 §10.4", "a frame longer than the limit";
    MessageTooLarge => TOO_BIG, "RFC 6455 §10.4", "a message longer than the limit";
    FragmentsTooMany => TOO_BIG, "RFC 6455 §10.4", "a message of more fragments than the limit";
    // permessage-deflate.
    DeflateInvalid => INVALID_PAYLOAD, "RFC 7692 §7.2.2", "a compressed message that cannot be unpacked";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("peer sent ")?;
        f.write_str(self.text())
    }
}

impl Error for Fault {}

const _: () = assert!(size_of::<Fault>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_names_its_section_and_a_code_that_may_be_sent() {
        for fault in Fault::ALL {
            assert!(fault.section().starts_with("RFC ") && fault.section().contains(" §"), "{fault:?}");
            assert!(fault.code().may_be_sent(), "{fault:?}");
            let text = fault.to_string();
            assert!(text.starts_with("peer sent ") && !text.ends_with('.'), "{text}");
        }
    }
}
