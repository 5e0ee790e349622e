//! Which frame is allowed in which state, and with which fields: the one place that decides.

use crate::error::{Error, Reason};
use crate::frame::{CONTINUED, Header, Kind, LAST, METADATA, SKIPPABLE_MIN};
use crate::limits::{
    FRAME_BODY_BYTES_MAX, HELLO_BYTES_MAX, SUBJECT_NAME_BYTES_MAX, TEXT_BYTES_MAX,
};

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It opened the connection and speaks first.
    Dialer,
    /// It was dialled.
    Acceptor,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The peer's HELLO has not come.
    Greeting,
    /// Both may send.
    Open,
    /// One side has said GOAWAY or ended its bytes.
    Draining,
    /// Over, by an error.
    Closed,
}

/// The row of the table that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A dialer that waits for HELLO.
    DialerGreeting,
    /// An acceptor that waits for HELLO.
    AcceptorGreeting,
    /// Both have greeted.
    Open,
    /// We have said GOAWAY.
    Leaving,
    /// The connection is over.
    Closed,
}

/// What is done with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is handled.
    Take,
    /// It is answered with a fault: nothing new is taken.
    Decline,
    /// It is dropped, and spends the budget for frames without content.
    Skip,
    /// It is dropped without a trace.
    Discard,
    /// It ends the connection: the type is not defined.
    Unknown,
    /// It ends the connection: not in this state.
    Refuse,
}

/// Types 1 to 15, then skippable types, then critical types that are not defined.
const COLUMNS: usize = 17;

#[rustfmt::skip]
const TABLE: [[Verdict; COLUMNS]; 5] = {
    use Verdict::{Decline as D, Discard as X, Refuse as R, Skip as S, Take as T, Unknown as U};
    [
        // HELLO SUBJ REQ REPLY FAULT CANCEL SEND OPEN DATA END RESET CREDIT PING PONG GOAWAY 80-FF other
        [T,      R,   R,  R,    T,    R,     R,   R,   R,   R,  R,    R,     R,   R,   R,     R,    U], // DialerGreeting
        [T,      R,   R,  R,    R,    R,     R,   R,   R,   R,  R,    R,     R,   R,   R,     R,    U], // AcceptorGreeting
        [R,      T,   T,  T,    T,    T,     T,   T,   T,   T,  T,    T,     T,   T,   T,     S,    U], // Open
        [R,      T,   D,  T,    T,    T,     T,   D,   T,   T,  T,    T,     T,   T,   T,     S,    U], // Leaving
        [X,      X,   X,  X,    X,    X,     X,   X,   X,   X,  X,    X,     X,   X,   X,     X,    X], // Closed
    ]
};

/// What is done with a frame of type `kind` in `phase`.
#[must_use]
pub fn decide(phase: Phase, kind: u8) -> Verdict {
    let column = match kind {
        1..=15 => usize::from(kind) - 1,
        SKIPPABLE_MIN.. => COLUMNS - 2,
        _ => COLUMNS - 1,
    };
    TABLE[phase as usize][column]
}

#[derive(Clone, Copy)]
enum Field {
    Zero,
    Set,
    /// Set on a first fragment, zero on the others.
    SetFirst,
    Any,
    /// Either the subject or the id is set.
    OneOf,
}

struct Rule {
    flags_required: u8,
    flags_allowed: u8,
    subject: Field,
    id: Field,
    body_min: usize,
    body_max: usize,
}

const fn rule(flags: (u8, u8), subject: Field, id: Field, body: (usize, usize)) -> Rule {
    let (flags_required, flags_allowed) = flags;
    Rule {
        flags_required,
        flags_allowed,
        subject,
        id,
        body_min: body.0,
        body_max: body.1,
    }
}

#[rustfmt::skip]
const RULES: [Rule; 15] = {
    use Field::{Any, OneOf, Set, SetFirst, Zero};
    const ALL: u8 = LAST | METADATA | CONTINUED;
    const MESSAGE: usize = FRAME_BODY_BYTES_MAX;
    //    flags required, allowed   subject   id     body bytes
    [
        rule((0, 0),                Zero,     Zero,  (0, HELLO_BYTES_MAX)),        // HELLO
        rule((0, 0),                Set,      Zero,  (1, SUBJECT_NAME_BYTES_MAX)), // SUBJECT
        rule((0, ALL),              SetFirst, Set,   (1, MESSAGE)),                // REQUEST
        rule((0, LAST | CONTINUED), Zero,     Set,   (0, MESSAGE)),                // REPLY
        rule((0, 0),                Zero,     Any,   (3, 3 + TEXT_BYTES_MAX)),     // FAULT
        rule((0, 0),                Zero,     Set,   (0, 0)),                      // CANCEL
        rule((0, ALL),              Set,      Zero,  (0, MESSAGE)),                // SEND
        rule((LAST, LAST | METADATA), Set,    Set,   (0, MESSAGE)),                // STREAM_OPEN
        rule((0, LAST | CONTINUED), Zero,     Set,   (0, MESSAGE)),                // STREAM_DATA
        rule((0, 0),                Zero,     Set,   (0, 0)),                      // STREAM_END
        rule((0, 0),                Zero,     Set,   (2, 2 + TEXT_BYTES_MAX)),     // STREAM_RESET
        rule((0, 0),                OneOf,    Any,   (16, 16)),                    // CREDIT
        rule((0, 0),                Zero,     Zero,  (8, 8)),                      // PING
        rule((0, 0),                Zero,     Zero,  (8, 8)),                      // PONG
        rule((0, 0),                Zero,     Zero,  (2, 2 + TEXT_BYTES_MAX)),     // GOAWAY
    ]
};

/// Checks flags, subject, id and length of a frame of a defined type. The body is not needed, so
/// that a bad frame is refused before its body is waited for.
pub fn check_fields(kind: Kind, header: &Header) -> Result<(), Error> {
    let rule = &RULES[kind as usize - 1];
    check_flags(rule, header)?;
    let set = (header.subject != 0, header.id != 0);
    if !(field_fits(rule.subject, set.0, header, set.1)
        && field_fits(rule.id, set.1, header, false))
    {
        return Err(Error::new(
            Reason::BadFrame,
            "a subject or id is set or missing against its type",
        ));
    }
    check_length(rule, header.length as usize)
}

fn check_flags(rule: &Rule, header: &Header) -> Result<(), Error> {
    let flags = header.flags;
    let allowed =
        flags & !rule.flags_allowed == 0 && flags & rule.flags_required == rule.flags_required;
    if allowed && !(header.has(METADATA) && header.has(CONTINUED)) {
        return Ok(());
    }
    Err(Error::new(
        Reason::BadFlags,
        "a flag is reserved or not allowed on this type",
    ))
}

fn field_fits(field: Field, set: bool, header: &Header, other_set: bool) -> bool {
    match field {
        Field::Zero => !set,
        Field::Set => set,
        Field::SetFirst => set != header.has(CONTINUED),
        Field::Any => true,
        Field::OneOf => set != other_set,
    }
}

fn check_length(rule: &Rule, length: usize) -> Result<(), Error> {
    if length > rule.body_max {
        return Err(Error::new(
            Reason::Oversize,
            "a body is longer than its type allows",
        ));
    }
    if length < rule.body_min {
        return Err(Error::new(
            Reason::BadFrame,
            "a body is shorter than its type needs",
        ));
    }
    Ok(())
}
