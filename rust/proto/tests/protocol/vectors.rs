//! The golden transcripts, replayed.

use crate::transcript::replay;

/// What happened must be what is written; a difference shows the whole transcript as it is now.
fn check(name: &str, written: &str) {
    let happened = replay(written);
    assert!(
        happened == written,
        "tests/vectors/{name}.txt differs; now it is\n{happened}<<<"
    );
}

macro_rules! transcripts {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check($name, include_str!(concat!("../../../../tests/vectors/", $name, ".txt")));
            }
        )*
    };
}

transcripts! {
    w_2_transcript_of_an_acceptor: "acceptor",
    w_2_transcript_of_a_dialer: "dialer",
    w_3_transcript_of_a_wrong_cluster: "wrong_cluster",
    w_46_transcript_of_a_dialer_that_is_late: "late",
    w_57_transcript_of_a_claim_that_is_not_believed: "claim",
    w_57_transcript_of_a_dialer_that_is_not_believed: "claim_dialer",
    w_1_transcript_of_a_bad_preface: "bad_preface",
    w_20_transcript_of_requests: "requests",
    w_22_transcript_of_deadlines: "deadlines",
    w_23_transcript_of_cancels: "cancels",
    w_18_transcript_of_fragments: "fragments",
    w_32_transcript_of_credit: "credit",
    w_36_transcript_of_a_stream: "stream",
    w_47_transcript_of_silence: "silence",
    w_44_transcript_of_goaway: "goaway",
    w_70_transcript_of_a_zeebe_listener: "zeebe_acceptor",
    w_70_transcript_of_a_zeebe_dialer: "zeebe_dialer",
    w_71_transcript_of_a_zeebe_listener_in_version_1: "zeebe_acceptor_v1",
    w_71_transcript_of_a_zeebe_dialer_in_version_1: "zeebe_dialer_v1",
    w_70_transcript_of_another_zeebe_cluster: "zeebe_wrong_cluster",
}
