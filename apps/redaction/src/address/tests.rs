//! Single texts, written by hand: what goes, what stays, and where exactly the marker stands.

use super::*;
use crate::policy::Policy;

fn redact(text: &str, mode: Mode) -> String {
    String::from_utf8(Policy::Mask.apply(text.as_bytes(), &find(text, mode)).into_owned()).unwrap()
}

/// Both modes agree on these.
#[track_caller]
fn goes(text: &str, expected: &str, class: Class) {
    for mode in [Mode::Balanced, Mode::Strict] {
        assert_eq!(redact(text, mode), expected, "{mode:?}");
        assert_eq!(find(text, mode).first().map(|found| found.class), Some(class), "{mode:?}");
    }
}

#[track_caller]
fn stays(text: &str, mode: Mode) {
    assert_eq!(redact(text, mode), text, "{mode:?}");
}

#[test]
fn plain_addresses_go_and_the_sentence_stays() {
    goes("joe@example.com", "[redacted]", Class::Plain);
    goes("Write to Joe <joe.doe+tag@mail.example.co.uk>, please.", "Write to Joe <[redacted]>, please.", Class::Plain);
    goes("(joe@example.com)", "([redacted])", Class::Plain);
    goes("mailto:joe@example.com?subject=x", "mailto:[redacted]?subject=x", Class::Plain);
    goes("JOE@EXAMPLE.COM; o'brien@example.org", "[redacted]; [redacted]", Class::Plain);
    goes("'joe@example.com' and *joe@example.com*", "'[redacted]' and *[redacted]*", Class::Plain);
    goes("customer/department=shipping@example.com", "[redacted]", Class::Plain);
    goes("!#$%&'*+-/=?^_`{|}~@example.org", "[redacted]", Class::Plain);
    goes("at joe@example.com.", "at [redacted].", Class::Plain);
    goes("joe@sub_host.example.com", "[redacted]", Class::Plain);
}

#[test]
fn quoted_local_parts_comments_and_address_literals_go_whole() {
    goes(r#"x "john doe"@example.com y"#, "x [redacted] y", Class::Quoted);
    goes(r#""a\"b@c"@example.com"#, "[redacted]", Class::Quoted);
    goes(r#"joe."doe x".z@example.com"#, "[redacted]", Class::Quoted);
    goes("john(the one)@example.com", "[redacted]", Class::Quoted);
    goes("john@(the one)example.com", "[redacted]", Class::Quoted);
    goes("joe@[192.0.2.1]", "[redacted]", Class::Literal);
    goes("joe@[IPv6:2001:db8::1]", "[redacted]", Class::Literal);
    goes("joe@192.0.2.1.", "[redacted].", Class::Literal);
}

#[test]
fn international_addresses_go() {
    goes("用户@例子.广告", "[redacted]", Class::International);
    goes("jörg@müller.de", "[redacted]", Class::International);
    goes("почта@пример.рф, да", "[redacted], да", Class::International);
    goes("joe@xn--fiqs8s.xn--fiqs8s", "[redacted]", Class::Punycode);
    goes("joe@i❤.ws", "[redacted]", Class::International);
}

#[test]
fn disguised_addresses_go() {
    goes("ｊｏｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[redacted]", Class::Disguised);
    goes("joe@exa\u{200B}mple.com", "[redacted]", Class::Disguised);
    goes("jo\u{AD}e@example.com", "[redacted]", Class::Disguised);
    goes("joe﹫example．com", "[redacted]", Class::Disguised);
    goes("joe@example。com", "[redacted]", Class::International);
}

#[test]
fn encoded_addresses_go() {
    goes("joe%40example.com", "[redacted]", Class::Encoded);
    goes("joe%2540example.com", "[redacted]", Class::Encoded);
    goes("joe&#64;example.com", "[redacted]", Class::Encoded);
    goes("joe&#x40;example&period;com", "[redacted]", Class::Encoded);
    goes("joe&commat;example.com", "[redacted]", Class::Encoded);
    goes("joe&amp;#64;example.com", "[redacted]", Class::Encoded);
    goes(r"joe\u0040example.com", "[redacted]", Class::Encoded);
    goes(r"joe\\u0040example.com", "[redacted]", Class::Encoded);
    goes(r"joe\x40example.com", "[redacted]", Class::Encoded);
    goes("joe%EF%BC%A0example.com", "[redacted]", Class::Encoded);
    goes("j%C3%B6rg%40example.com", "[redacted]", Class::Encoded);
    goes("%6a%6f%65%40%65xample%2ecom", "[redacted]", Class::Encoded);
}

#[test]
fn in_a_url_only_the_value_goes() {
    goes(
        "https://shop.example/a?email=joe@example.com&b=1",
        "https://shop.example/a?email=[redacted]&b=1",
        Class::Plain,
    );
    goes("/a?email=joe%40example.com", "/a?email=[redacted]", Class::Encoded);
    goes("a=1&email=joe@example.com&b=2", "a=1&email=[redacted]&b=2", Class::Plain);
    goes("/a?email=x%2Fy%40example.com", "/a?email=[redacted]", Class::Encoded);
    goes(
        "to=https%3A%2F%2Fh.org%2F%3Fe%3Djoe%40example.com",
        "to=https%3A%2F%2Fh.org%2F%3Fe%3D[redacted]",
        Class::Encoded,
    );
    goes("postgres://u:p@ss@db.internal:5432/x", "postgres://u:[redacted]:5432/x", Class::Plain);
}

#[test]
fn text_glued_to_an_address_does_not_save_it() {
    let glued = [
        ("joe@example.com谢谢", "[redacted]谢谢"),
        ("joe@example.com.Then", "[redacted].Then"),
        ("joe@example.com_old", "[redacted]_old"),
        ("a@b@example.com", "[redacted]"),
        ("a@example.com@example.org", "[redacted]"),
    ];
    for (text, expected) in glued {
        assert_eq!(redact(text, Mode::Balanced), expected);
    }
}

#[test]
fn look_alikes_without_a_left_or_right_side_stay_in_both_modes() {
    let texts = [
        "@",
        "a @ b",
        "@alice",
        "hi @alice!",
        "@scope/pkg",
        "@angular/core",
        "@alice:matrix.org",
        "joe@",
        "3 @ $5",
        "%40",
        "https://medium.com/@alice/story",
        "&#64;",
        r#"["a","@b.com"]"#,
        "@media print",
        "100% & more",
        r"C:\users\x",
        "joe@[redacted]",
        "[redacted]@example.com",
    ];
    for text in texts {
        stays(text, Mode::Balanced);
        stays(text, Mode::Strict);
    }
}

#[test]
fn look_alikes_by_their_domain_stay_only_in_balanced_mode() {
    let texts = [
        "user@host",
        "react@18.2.0",
        "icon@2x.png",
        "@types/node@20.1.4",
        "image@sha256:abc",
        "Foo@1a2b3c",
        "getty@tty1.service",
        "git@github.com:org/repo.git",
        "ssh://git@github.com/org/repo",
        "lat@12.5",
        "golang.org/x/net@v0.1.2",
    ];
    for text in texts {
        stays(text, Mode::Balanced);
        assert!(redact(text, Mode::Strict).contains("[redacted]"), "{text}");
    }
}

#[test]
fn a_social_handle_with_a_host_has_the_shape_of_an_address_and_goes() {
    goes("@user@mastodon.social", "@[redacted]", Class::Plain);
}

#[test]
fn bytes_that_are_not_utf8_are_searched_all_the_same() {
    let latin1 = b"\xFFj\xE9r\xF4me@m\xFCller.de,\xFE";
    let found = find_in_bytes(latin1, Mode::Balanced);
    assert_eq!(Policy::Mask.apply(latin1, &found).as_ref(), b"[redacted],\xFE");
    let glued = b"\x00\x01joe@example.com\xFE";
    assert_eq!(Policy::Mask.apply(glued, &find_in_bytes(glued, Mode::Balanced)).as_ref(), b"\x00\x01[redacted]\xFE");
}

/// Texts whose every character could start an expansion over all others: quadratic work would take minutes.
#[test]
fn hostile_texts_of_a_megabyte_take_linear_time() {
    const SIZE: usize = 1 << 20;
    let pieces = [
        "@",
        "a@",
        "a@b.",
        "\"@",
        "\"a@b\"@c",
        "%40",
        "%25",
        "&amp;",
        "&#64;",
        "\\",
        "\\u0040",
        "(@",
        "(a)@",
        "a.",
        "@[",
        "@(",
        "/?=@",
        "'@'",
    ];
    let started = std::time::Instant::now();
    for piece in pieces {
        let text = piece.repeat(SIZE / piece.len());
        for mode in [Mode::Balanced, Mode::Strict] {
            let findings = find(&text, mode);
            assert!(findings.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
        }
    }
    assert!(started.elapsed() < std::time::Duration::from_mins(1), "{:?}", started.elapsed());
}
