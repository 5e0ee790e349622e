//! Arbitrary bytes as the body of HELLO.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ztransport_proto::hello::{Hello, VERSION};
use ztransport_proto::limits::{MESSAGE_BYTES_INITIAL, NAME_BYTES_MAX};

fuzz_target!(|body: &[u8]| {
    let Ok(hello) = Hello::decode(body) else {
        return;
    };
    assert!((hello.version_min..=hello.version).contains(&VERSION));
    assert!(hello.message_bytes_max >= MESSAGE_BYTES_INITIAL);
    let most = u64::from(hello.message_bytes_max);
    for bytes in [
        hello.request_window_bytes,
        hello.subject_window_bytes,
        hello.stream_window_bytes,
        hello.assembly_bytes_max,
    ] {
        assert!(bytes >= most);
    }
    for name in [&hello.cluster, &hello.node_id, &hello.advertise] {
        assert!(name.len() <= NAME_BYTES_MAX);
    }
});
