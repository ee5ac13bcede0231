//! AWS Signature Version 4: of a URL, and of a form.
//!
//! Signed here with `hmac` and `sha2`: `aws-sigv4` would bring eleven crates for these two fixed requests.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{CredentialError, Credentials};

/// Hash of the empty body.
pub(crate) const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A GET request to presign: everything is in its URL.
pub(crate) struct Request<'a> {
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) body_hash: &'a str,
    pub(crate) expires_seconds: i64,
}

impl Request<'_> {
    /// The URL with its signature, for the second `seconds` since 1970.
    pub(crate) fn presign(&self, credentials: &Credentials, seconds: i64) -> Result<String, CredentialError> {
        let (date, time) = date_and_time(seconds);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let mut query: Vec<(String, String)> = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &format!("{}/{scope}", credentials.access_key_id)),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &self.expires_seconds.to_string()),
            ("X-Amz-SignedHeaders", "host"),
        ]
        .iter()
        .chain(credentials.session_token.as_ref().map(|token| ("X-Amz-Security-Token", token.expose())).as_ref())
        .chain(self.query)
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
        // Sorted by name: the order is part of what is signed.
        query.sort();
        let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let canonical = format!("GET\n{}\n{query}\nhost:{}\n\nhost\n{}", self.path, self.host, self.body_hash);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = signing_key(credentials.secret_access_key.expose(), [&date, self.region, self.service])?;
        let signature = hex(&hmac(&key, &to_sign)?);
        Ok(format!("https://{}{}?{query}&X-Amz-Signature={signature}", self.host, self.path))
    }
}

/// A form to send by POST, signed in its headers.
pub(super) struct Form<'a> {
    pub(super) host: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a str,
}

impl Form<'_> {
    /// The headers to send beside `Content-Type` and `Host`, for the second `seconds` since 1970.
    pub(super) fn headers(
        &self,
        credentials: &Credentials,
        seconds: i64,
    ) -> Result<Vec<(&'static str, String)>, CredentialError> {
        let (date, time) = date_and_time(seconds);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let mut sent = vec![("x-amz-date", time.clone())];
        sent.extend(credentials.session_token.iter().map(|token| ("x-amz-security-token", token.expose().to_owned())));
        // By name, as they are signed.
        let mut signed = vec![("content-type", self.content_type), ("host", self.host)];
        signed.extend(sent.iter().map(|(name, value)| (*name, value.as_str())));
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(self.body)));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = signing_key(credentials.secret_access_key.expose(), [&date, self.region, self.service])?;
        let signature = hex(&hmac(&key, &to_sign)?);
        let id = &credentials.access_key_id;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        sent.push(("authorization", authorization));
        Ok(sent)
    }
}

/// The key for one day, region and service.
fn signing_key(secret: &str, scope: [&str; 3]) -> Result<Vec<u8>, CredentialError> {
    let first = format!("AWS4{secret}").into_bytes();
    scope.into_iter().chain(["aws4_request"]).try_fold(first, |key, part| hmac(&key, part))
}

fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>, CredentialError> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.map_err(|_| CredentialError::Bug("HMAC takes keys of any length"))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// RFC 3986: everything but unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
        encoded
    })
}

/// The second of `2026-01-02T03:04:05Z`, with or without a fraction of it.
pub(super) fn seconds_of(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator| -> Option<[i64; 3]> {
        let parts: Vec<i64> = text.split(separator).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.split('.').next()?, ':')?;
    let legal = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !legal {
        return None;
    }
    // Years that begin in March, as below.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `20130524` and `20130524T000000Z`, in the Gregorian calendar.
pub(super) fn date_and_time(seconds: i64) -> (String, String) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March, in eras of 400 years: leap days fall on the ends.
    let day = days + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day_of_month:02}");
    let time = format!("{date}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    (date, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: token.map(Into::into),
            expires_at: None,
        }
    }

    /// The example of AWS's page "Authenticating requests: using query parameters".
    #[test]
    fn the_documented_presigned_url_has_the_documented_signature() {
        let request = Request {
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            service: "s3",
            region: "us-east-1",
            body_hash: "UNSIGNED-PAYLOAD",
            expires_seconds: 86_400,
        };
        let url = request.presign(&credentials(None), 1_369_353_600).unwrap();
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// The example of AWS's page "Deriving the signing key".
    #[test]
    fn the_documented_key_is_derived() {
        let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ["20120215", "us-east-1", "iam"]).unwrap();
        assert_eq!(hex(&key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    /// `post-x-www-form-urlencoded` of AWS's test suite for Signature Version 4.
    #[test]
    fn the_form_of_the_test_suite_has_its_signature() {
        let form = Form {
            host: "example.amazonaws.com",
            service: "service",
            region: "us-east-1",
            content_type: "application/x-www-form-urlencoded",
            body: "Param1=value1",
        };
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            expires_at: None,
        };
        let headers = form.headers(&credentials, 1_440_938_160).unwrap();
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                             SignedHeaders=content-type;host;x-amz-date, \
                             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(
            headers,
            [("x-amz-date", "20150830T123600Z".to_owned()), ("authorization", authorization.to_owned())]
        );
    }

    /// Computed apart from this code, with Python's `hmac` and `hashlib`.
    #[test]
    fn the_token_of_a_session_is_signed_too() {
        let form = Form {
            host: "sts.eu-central-1.amazonaws.com",
            service: "sts",
            region: "eu-central-1",
            content_type: "application/x-www-form-urlencoded; charset=utf-8",
            body: "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmillpond\
                   &RoleSessionName=millpond&Version=2011-06-15",
        };
        let headers = form.headers(&credentials(Some("session/token+with=signs")), 1_767_323_045).unwrap();
        assert_eq!(headers[1], ("x-amz-security-token", "session/token+with=signs".to_owned()));
        let (_, authorization) = &headers[2];
        assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"));
        let signature = "e31015644658c27eab34957fffbd4388b7d08ac94a2aa61f4b91f9784943520f";
        assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
    }

    #[test]
    fn dates_follow_the_calendar() {
        let date = |seconds| date_and_time(seconds).1;
        assert_eq!(date(0), "19700101T000000Z");
        assert_eq!(date(951_782_399), "20000228T235959Z");
        assert_eq!(date(951_782_400), "20000229T000000Z");
        assert_eq!(date(4_107_542_399), "21000228T235959Z");
        assert_eq!(date(4_107_542_400), "21000301T000000Z");
        for seconds in [0, 951_782_399, 951_782_400, 4_107_542_399, 4_107_542_400, 1_767_323_045] {
            let (date, time) = date_and_time(seconds);
            let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
            let (hour, minute, second) = (&time[9..11], &time[11..13], &time[13..15]);
            let written = format!("{year}-{month}-{day}T{hour}:{minute}:{second}");
            assert_eq!(seconds_of(&format!("{written}Z")), Some(seconds));
            assert_eq!(seconds_of(&format!("{written}.123Z")), Some(seconds));
        }
        for wrong in
            ["", "2026-01-02", "2026-01-02T03:04Z", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05+01:00", "x-y-zTa:b:cZ"]
        {
            assert_eq!(seconds_of(wrong), None, "{wrong}");
        }
    }
}
