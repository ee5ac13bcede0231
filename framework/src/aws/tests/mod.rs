//! The chain against services on loopback that behave, refuse, lie, are late or wrong.

mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use service::{Answer, Asked, Fake, date, iso};

const ROLE: &str = "arn:aws:iam::123456789012:role/millpond";
const SECRET: &str = "canary-secret";
const TOKEN: &str = "canary-token";

fn chain(variables: &[(&str, &str)]) -> DefaultChain {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    DefaultChain::with_variables("eu-west-1", variables.collect())
}

fn refusal(chain: &DefaultChain) -> String {
    let error = chain.credentials().unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
    error.to_string()
}

/// What STS says, as documented for `AssumeRole`; the other action's answer differs in names above these.
fn sts(id: &str, expires_at: i64) -> Answer {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n <AssumeRoleResult>\n  <AssumedRoleUser>\
         <Arn>arn:aws:sts::123456789012:assumed-role/millpond/millpond</Arn></AssumedRoleUser>\n  <Credentials>\n   \
         <AccessKeyId>{id}</AccessKeyId>\n   <SecretAccessKey>{SECRET}</SecretAccessKey>\n   \
         <SessionToken>{TOKEN}</SessionToken>\n   <Expiration>{}</Expiration>\n  </Credentials>\n \
         </AssumeRoleResult>\n</AssumeRoleResponse>",
        iso(expires_at)
    );
    (200, date(now()), body)
}

fn sts_refusing(status: u16, code: &str, message: &str) -> Answer {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, date(now()), format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
}

fn json(id: &str, expires_at: i64) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"{SECRET}","Token":"{TOKEN}","Expiration":"{}"}}"#,
        iso(expires_at)
    )
}

fn expected(id: &str, expires_at: i64) -> Credentials {
    Credentials {
        access_key_id: id.into(),
        secret_access_key: SECRET.into(),
        session_token: Some(TOKEN.into()),
        expires_at: Some(expires_at),
    }
}

fn instance(number: usize, asked: &Asked) -> Answer {
    let name = "/latest/meta-data/iam/security-credentials/";
    let is_known = asked.header("x-aws-ec2-metadata-token") == Some("canary-session");
    let answer = match asked.line.as_str() {
        "PUT /latest/api/token HTTP/1.1" if asked.header("x-aws-ec2-metadata-token-ttl-seconds").is_some() => {
            (200, "canary-session".to_owned())
        }
        line if is_known && line == format!("GET {name} HTTP/1.1") => (200, "millpond-role\n".to_owned()),
        line if is_known && line == format!("GET {name}millpond-role HTTP/1.1") => {
            (200, json("instance", 4_000_000_000))
        }
        _ => (401, String::new()),
    };
    assert!(number < 3);
    (answer.0, String::new(), answer.1)
}

#[test]
fn a_pod_takes_its_role_on_with_the_token_that_is_in_its_file_now() {
    let ends = now() + 3_600;
    let service = Fake::start(move |_, _| Some(sts("pod", ends)));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let chain = chain(&[
        ("AWS_ENDPOINT_URL_STS", &service.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &file.display().to_string()),
        ("AWS_ROLE_ARN", ROLE),
    ]);
    assert!(refusal(&chain).contains("the web identity token cannot be read"));
    for token in ["canary-first", "canary-second"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        assert_eq!(chain.credentials(), Ok(expected("pod", ends)));
        let asked = service.asked();
        assert_eq!(asked.line, "POST / HTTP/1.1");
        assert_eq!(
            asked.body,
            format!(
                "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmillpond\
                 &RoleSessionName=millpond&Version=2011-06-15&WebIdentityToken={token}"
            )
        );
        assert_eq!(asked.header("authorization"), None, "the token is what proves it");
    }
}

#[test]
fn a_role_of_the_configuration_is_taken_on_with_what_was_found() {
    let ends = now() + 3_600;
    let service = Fake::start(move |_, _| Some(sts("role", ends)));
    let chain = chain(&[
        ("AWS_ENDPOINT_URL_STS", &service.url()),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", TOKEN),
    ]);
    assert_eq!(chain.credentials().unwrap().access_key_id, "AKID");
    assert_eq!(chain.assuming(ROLE).credentials(), Ok(expected("role", ends)));
    let asked = service.asked();
    assert!(asked.body.starts_with("Action=AssumeRole&RoleArn=arn%3Aaws"), "{}", asked.body);
    let authorization = asked.header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
    assert!(
        authorization
            .contains("/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,")
    );
    assert_eq!(asked.header("x-amz-security-token"), Some(TOKEN));
    assert_eq!(asked.header("host"), Some(service.address.to_string().as_str()), "as it was signed");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
}

#[test]
fn a_container_shows_the_token_that_is_in_its_file_now() {
    let ends = now() + 3_600;
    let service = Fake::start(move |_, _| Some((200, String::new(), json("container", ends))));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let chain = chain(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", service.url())),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file.display().to_string()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this one"),
    ]);
    assert!(refusal(&chain).contains("the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read"));
    for token in ["canary-first", "canary-second"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        assert_eq!(chain.credentials(), Ok(expected("container", ends)));
        let asked = service.asked();
        assert_eq!((asked.line.as_str(), asked.header("authorization")), ("GET /v1/credentials HTTP/1.1", Some(token)));
    }
}

#[test]
fn an_instance_is_asked_by_version_2_alone() {
    let service = Fake::start(|number, asked| Some(instance(number, asked)));
    let at = |service: &Fake| chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url())]);
    assert_eq!(at(&service).credentials(), Ok(expected("instance", 4_000_000_000)));
    let old = Fake::saying(404, "");
    let error = refusal(&at(&old));
    assert!(error.contains("the instance metadata service refuses") && error.contains("version 2"), "{error}");
    assert!(old.asked_so_far().iter().all(|asked| asked.line.starts_with("PUT ")), "no GET without a token");
}

#[test]
fn an_instance_without_a_role_says_so() {
    let service = Fake::start(|_, asked| {
        let token = (200, String::new(), "canary-session".to_owned());
        Some(if asked.line.starts_with("PUT ") { token } else { (404, String::new(), "<html>".to_owned()) })
    });
    let error = refusal(&chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url())]));
    assert!(error.contains("the instance has no role (HTTP status 404); give the instance a role"), "{error}");
}

#[test]
fn where_nothing_is_configured_each_place_is_named() {
    let error = refusal(&chain(&[("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nowhere")]));
    for part in [
        "no keys in the environment",
        "no profile",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_EC2_METADATA_DISABLED",
        "give the pod",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = refusal(&chain(&[("AWS_ACCESS_KEY_ID", "AKID")]));
    assert!(error.starts_with("AWS_SECRET_ACCESS_KEY is missing beside"), "{error}");
    let error = refusal(&chain(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")]));
    assert!(error.starts_with("AWS_ROLE_ARN is missing beside"), "{error}");
}

/// What comes first in the chain decides, also by failing: another identity in its stead would be a surprise.
#[test]
fn a_place_that_fails_is_not_passed_over() {
    let refusing = Fake::saying(400, r#"{"code":"AccessDenied","message":"association missing for canary-pod-token"}"#);
    let instance = Fake::saying(200, "canary-session");
    let chain = chain(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &refusing.url()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-pod-token"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.url()),
    ]);
    let error = refusal(&chain);
    assert!(error.contains("AccessDenied: association missing for *** (HTTP status 400); look at the role"), "{error}");
    assert_eq!(instance.asked_so_far(), []);
}

#[test]
fn what_sts_refuses_is_told_in_its_words_and_without_what_was_sent() {
    let service = Fake::start(|_, asked| {
        // A rude service, which repeats the token.
        let sent = asked.body.rsplit('=').next().unwrap_or_default().to_owned();
        Some(sts_refusing(400, "InvalidIdentityToken", &format!("no provider for &quot;{sent}&quot;")))
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "canary-jwt").unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL_STS", service.url()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.display().to_string()),
        ("AWS_ROLE_ARN", ROLE.to_owned()),
    ];
    let chain = chain(&variables.each_ref().map(|(name, value)| (*name, value.as_str())));
    let error = refusal(&chain);
    assert_eq!(
        error,
        "AWS STS refuses: InvalidIdentityToken: no provider for \"***\" (HTTP status 400); correct the role, or whom its \
         trust policy allows"
    );
    assert_eq!(service.asked_so_far().len(), 1, "a refusal is not repeated");
}

#[test]
fn a_failure_that_passes_is_tried_once_more() {
    let ends = now() + 3_600;
    let service = Fake::start(move |number, _| {
        Some(if number == 0 { (503, String::new(), String::new()) } else { (200, String::new(), json("second", ends)) })
    });
    let chain = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]);
    assert_eq!(chain.credentials().unwrap().access_key_id, "second");
}

#[test]
fn a_service_that_does_not_answer_is_named_in_time() {
    let silent = Fake::start(|_, _| None);
    let begun = Instant::now();
    let error = refusal(&chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &silent.url())]));
    assert!(
        error.contains("the instance metadata service does not answer") && error.contains("hop limit of 2"),
        "{error}"
    );
    let closed = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/c?canary")]);
    let error = refusal(&closed);
    assert!(error.ends_with("url=http://127.0.0.1:9/c"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn sts_without_tls_is_told_nothing() {
    let plain = Fake::saying(200, "");
    let url = plain.url().replace("http://", "https://");
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let error = refusal(&chain(&[keys[0], keys[1], ("AWS_ENDPOINT_URL_STS", &url)]).assuming(ROLE));
    assert!(error.starts_with("AWS STS does not answer") && error.contains("allow port 443"), "{error}");
    assert_eq!(plain.asked_so_far(), []);
}

#[test]
fn what_are_no_credentials_is_said_to_be_none() {
    for (body, part) in [
        ("<html>captive portal</html>", "it is no JSON object"),
        ("{}", "AccessKeyId is missing"),
        (r#"{"AccessKeyId":"A","SecretAccessKey":"canary","Expiration":"soon"}"#, "Expiration is no time"),
    ] {
        let service = Fake::saying(200, body);
        let error = refusal(&chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]));
        assert!(error.contains(part), "{body}: {error}");
    }
    let endless = Fake::saying(200, &"x".repeat(200_000));
    assert!(!refusal(&chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endless.url())])).contains("xxx"));
}

#[test]
fn credentials_that_have_ended_are_not_given_out() {
    let ended = now() - 60;
    let service = Fake::start(move |_, _| Some((200, date(now()), json("old", ended))));
    let error = refusal(&chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]));
    assert!(error.starts_with("the container's credentials service gave credentials that ended 6"), "{error}");
}

#[test]
fn a_clock_that_is_wrong_is_told_in_the_place_of_what_comes_of_it() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    for (off, word) in [(-3_600, "ahead of"), (3_600, "behind")] {
        let service = Fake::start(move |_, _| {
            let (status, _, body) = sts_refusing(403, "SignatureDoesNotMatch", "Signature expired");
            Some((status, date(now() + off), body))
        });
        let url = service.url();
        let error = refusal(&chain(&[keys[0], keys[1], ("AWS_ENDPOINT_URL_STS", &url)]).assuming(ROLE));
        assert!(error.starts_with("the clock of this machine is 3") && error.contains(word), "{error}");
    }
    // By the service's clock these are good; by ours they have ended.
    let service = Fake::start(|_, _| Some((200, date(now() - 7_200), json("fresh", now() - 3_600))));
    let error = refusal(&chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]));
    assert!(error.contains("ahead of that of the container's credentials service"), "{error}");
}

/// A container whose credentials live for so many seconds; each is named by the number of its request.
fn short_lived(seconds: i64, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> (Fake, Renewed) {
    let service = Fake::start(move |number, _| {
        let good = (200, String::new(), json(&format!("number-{number}"), now() + seconds));
        Some(if fails(number) { (403, String::new(), "{}".to_owned()) } else { good })
    });
    let renewed = Renewed::new(chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]));
    (service, renewed)
}

#[test]
fn credentials_are_renewed_in_the_background_before_they_end() {
    let (service, renewed) = short_lived(8, |_| false);
    assert_eq!(renewed.credentials().unwrap().access_key_id, "number-0");
    service.asked();
    // Nobody asks; the second request comes by itself, and before the end of the first.
    let begun = Instant::now();
    service.asked();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let id = renewed.credentials().unwrap().access_key_id;
    assert!(id == "number-0" || id == "number-1", "{id}");
}

#[test]
fn a_renewal_that_fails_is_tried_again_while_the_old_are_still_good() {
    let (service, renewed) = short_lived(20, |number| number == 1);
    renewed.credentials().unwrap();
    let begun = Instant::now();
    for _ in 0..3 {
        service.asked();
        assert_eq!(renewed.credentials().map(|_| ()), Ok(()), "whoever asks does not notice");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn all_who_ask_at_once_share_one_request_and_its_failure() {
    let requests = Arc::new(AtomicUsize::new(0));
    for status in [200, 403] {
        requests.store(0, Ordering::SeqCst);
        let counted = Arc::clone(&requests);
        let service = Fake::start(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some((status, String::new(), json("shared", now() + 3_600)))
        });
        let renewed = Renewed::new(chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.url())]));
        let lock = renewed.shared_for_tests().held();
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| renewed.credentials())).collect();
            drop(lock);
            for asked in asking {
                assert_eq!(asked.join().unwrap().is_ok(), status == 200);
            }
        });
        assert!(requests.load(Ordering::SeqCst) < 8, "{requests:?}");
        if status == 200 {
            assert_eq!(requests.load(Ordering::SeqCst), 1);
        }
    }
}

#[test]
fn the_thread_ends_with_its_owner() {
    let (_service, renewed) = short_lived(3_600, |_| false);
    renewed.credentials().unwrap();
    let shared = Arc::downgrade(renewed.shared_for_tests());
    drop(renewed);
    let begun = Instant::now();
    while shared.upgrade().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the thread goes on");
        std::thread::yield_now();
    }
}
