//! The Kubernetes base and its components: restricted pods with a name, a volume and probes that fit the applications.

use std::collections::BTreeMap;

use millpond::runtime::config::{Auth, OnShutdown, StreamsConfig};
use serde_json::{Value, json};

use super::files::{APPLICATIONS, configured, document, documents, text, texts, variables};
use super::{files, rights};

pub(crate) fn of_kind(application: &str, kind: &str) -> Value {
    let all = documents(&format!("kubernetes/base/{application}.yaml"));
    let mut found: Vec<Value> = all.into_iter().filter(|document| document["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{application} has one {kind}");
    found.remove(0)
}

pub(crate) fn container(application: &str) -> Value {
    let set = of_kind(application, "StatefulSet");
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().unwrap().clone();
    assert_eq!(containers.len(), 1, "{application}");
    containers[0].clone()
}

/// The variables of a pod: the common ones, and its own.
pub(crate) fn environment(application: &str) -> BTreeMap<String, String> {
    let mut environment = variables("kubernetes/base/millpond.env");
    for variable in container(application)["env"].as_array().unwrap() {
        let value = match variable["value"].as_str() {
            Some(value) => value.to_owned(),
            None if variable.pointer("/valueFrom/fieldRef/fieldPath") == Some(&json!("metadata.name")) => {
                format!("{application}-0")
            }
            None => "postgres://loader@h:5432/d".to_owned(),
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value);
    }
    environment
}

fn config(application: &'static str) -> StreamsConfig {
    configured(application, &environment(application), &texts(&container(application)["args"]))
}

#[test]
fn each_pod_runs_its_application_with_a_configuration_that_it_understands() {
    for application in APPLICATIONS {
        let container = container(application);
        assert_eq!(texts(&container["command"]), [format!("/usr/local/bin/{application}")]);
        let config = config(application);
        // A static member by the name of the pod.
        assert_eq!(config.instance.as_deref(), Some(format!("{application}-0").as_str()));
        let address = config.http_listen.unwrap();
        assert!(address.ip().is_unspecified(), "{application}: probes come from the node");
        assert_eq!(container["ports"], json!([{ "name": "http", "containerPort": address.port() }]));
        let mount = json!([{ "name": "state", "mountPath": config.state_dir.display().to_string() }]);
        assert_eq!(container["volumeMounts"], mount, "{application}");
        // Otherwise Kubernetes adds variables that are none of ours, and the process refuses them.
        let spec = &of_kind(application, "StatefulSet")["spec"]["template"]["spec"];
        assert_eq!(spec["enableServiceLinks"], false, "{application}");
        let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace > config.transaction_timeout.as_secs() + config.commit_interval.as_secs(), "{application}");
    }
}

#[test]
fn the_probes_ask_for_pages_that_the_applications_have() {
    let server = text(files::path("framework/src/http/server.rs"));
    for application in APPLICATIONS {
        let container = container(application);
        for (probe, page) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"], json!({ "path": page, "port": "http" }), "{application}: {probe}");
            assert!(server.contains(&format!(".route(\"{page}\"")), "{page}");
        }
        // Without a broker the process ends by itself after 30 seconds, and says why; it must not be killed before.
        let probe = &container["startupProbe"];
        assert!(probe["periodSeconds"].as_u64().unwrap() * probe["failureThreshold"].as_u64().unwrap() > 30);
    }
}

#[test]
fn every_pod_is_as_restricted_as_the_namespace_demands() {
    let namespace = document("kubernetes/base/namespace.yaml");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    for application in APPLICATIONS {
        let spec = of_kind(application, "StatefulSet")["spec"]["template"]["spec"].clone();
        let pod = &spec["securityContext"];
        assert_eq!((&pod["runAsNonRoot"], &pod["runAsUser"]), (&json!(true), &json!(65532)), "{application}");
        assert_eq!(pod["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{application}");
        assert!(pod["fsGroup"].is_u64(), "{application}: the volume is writable");
        let own = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(container(application)["securityContext"], own, "{application}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{application}");
        assert_eq!(of_kind(application, "ServiceAccount")["automountServiceAccountToken"], false, "{application}");
        assert_eq!(spec["serviceAccountName"], application, "the role in the cloud hangs on it");
        for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(spec.get(forbidden).is_none(), "{application}: {forbidden}");
        }
    }
}

#[test]
fn who_has_state_has_a_volume_that_stays() {
    for (application, row) in rights::table() {
        let set = of_kind(&application, "StatefulSet")["spec"].clone();
        let stateful = !texts(&row["changelogs"]).is_empty();
        let claims = set["volumeClaimTemplates"].as_array().map_or(0, Vec::len);
        assert_eq!(claims, usize::from(stateful), "{application}");
        if stateful {
            let claim = &set["volumeClaimTemplates"][0];
            assert_eq!(texts(&claim["spec"]["accessModes"]), ["ReadWriteOncePod"], "two owners would destroy it");
            assert_eq!(
                set["persistentVolumeClaimRetentionPolicy"],
                json!({ "whenDeleted": "Retain", "whenScaled": "Retain" })
            );
        } else {
            let volumes = set["template"]["spec"]["volumes"].clone();
            assert!(volumes[0]["emptyDir"]["sizeLimit"].is_string(), "{application}");
        }
        assert_eq!(set["podManagementPolicy"], "Parallel", "{application}");
    }
}

#[test]
fn budgets_services_and_policies_select_the_pods() {
    for application in APPLICATIONS {
        let label = json!({ "app.kubernetes.io/name": application });
        let set = of_kind(application, "StatefulSet");
        assert_eq!(set["spec"]["template"]["metadata"]["labels"], label);
        assert_eq!(set["spec"]["selector"]["matchLabels"], label);
        assert_eq!(set["spec"]["serviceName"], of_kind(application, "Service")["metadata"]["name"]);
        assert_eq!(of_kind(application, "Service")["spec"]["selector"], label);
        let budget = &of_kind(application, "PodDisruptionBudget")["spec"];
        assert_eq!((&budget["maxUnavailable"], &budget["selector"]["matchLabels"]), (&json!(1), &label));
    }
    let policies = documents("kubernetes/base/network.yaml");
    let policy =
        |name: &str| policies.iter().find(|policy| policy["metadata"]["name"] == name).unwrap()["spec"].clone();
    assert_eq!(policy("nothing"), json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    let ports = policy("kafka")["egress"][0]["ports"][0].clone();
    let servers = config("fraud").bootstrap_servers;
    let port: u64 = servers.rsplit_once(':').unwrap().1.parse().unwrap();
    assert!((ports["port"].as_u64().unwrap()..=ports["endPort"].as_u64().unwrap()).contains(&port), "{servers}");
    assert_eq!(policy("postgresql")["podSelector"]["matchLabels"], json!({ "app.kubernetes.io/name": "loader" }));
}

#[test]
fn on_msk_the_applications_authenticate_by_iam_on_the_port_that_is_open() {
    for application in APPLICATIONS {
        let mut environment = environment(application);
        for file in ["kubernetes/components/msk/msk.env", "kubernetes/overlays/aws/millpond.env"] {
            environment.extend(variables(file));
        }
        let config = configured(application, &environment, &[]);
        assert_eq!(config.security.auth, Some(Auth::MskIam), "{application}");
        let network = documents("kubernetes/components/msk/network.yaml");
        let port = network[0]["spec"]["egress"][0]["ports"][0]["port"].as_u64().unwrap();
        for server in config.bootstrap_servers.split(',') {
            assert!(server.ends_with(&format!(":{port}")), "{server}");
        }
        // Terraform opens the same.
        let terraform = text(files::deployed("terraform/network.tf"));
        assert!(terraform.lines().any(|line| line.replace(' ', "") == format!("kafka_port={port}")));
    }
    // The agent of Pod Identity answers at this address, without TLS.
    let network = documents("kubernetes/components/msk/network.yaml");
    assert_eq!(network[0]["spec"]["egress"][1]["to"], json!([{ "ipBlock": { "cidr": "169.254.170.23/32" } }]));
    assert_eq!(network[0]["spec"]["egress"][1]["ports"], json!([{ "protocol": "TCP", "port": 80 }]));
}

/// The URL of the overlay, with the key that the component adds, is one that the loader takes: with TLS, and no password.
#[test]
fn on_rds_the_loader_makes_a_token_for_each_connection() {
    let database = document("kubernetes/components/msk/database.yaml");
    let spec = &database["spec"]["template"]["spec"];
    let added = &spec["containers"][0]["env"][0];
    let overlay = document("kubernetes/overlays/aws/kustomization.yaml");
    let url = overlay.pointer("/secretGenerator/0/literals/0").unwrap().as_str().unwrap();
    let url = url.strip_prefix("url=").unwrap();
    let file = url.split_once("sslrootcert=").unwrap().1;
    let mount = spec["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert!(file.starts_with(mount), "{file} is mounted");
    let mut environment = environment("loader");
    environment.extend(variables("kubernetes/components/msk/msk.env"));
    environment.extend(variables("kubernetes/overlays/aws/millpond.env"));
    environment.insert(added["name"].as_str().unwrap().to_owned(), added["value"].as_str().unwrap().to_owned());
    // The file is there in the pod alone.
    let here = url.replace(file, &files::path("Cargo.toml").display().to_string());
    environment.insert("MILLPOND_APP_DATABASE_URL".to_owned(), here);
    let config = configured("loader", &environment, &[]);
    let loader = config.app.get::<loader::Settings>().unwrap().loader(&config, "loader-0", 0).unwrap();
    assert!(loader.passwords.is_some());
    assert!(loader.database().is_ok());
}

#[test]
fn spans_go_to_a_collector_that_the_pods_may_reach() {
    let policy = document("kubernetes/components/tracing/network.yaml");
    let port = &policy["spec"]["egress"][0]["ports"][0]["port"];
    for application in APPLICATIONS {
        let mut environment = environment(application);
        assert_eq!(configured(application, &environment, &[]).otlp_endpoint, None, "{application}: off by default");
        environment.extend(variables("kubernetes/components/tracing/tracing.env"));
        let config = configured(application, &environment, &[]);
        let endpoint = config.otlp_endpoint.unwrap();
        assert!(endpoint.ends_with(&format!(":{port}")), "{application}: {endpoint}");
        let namespace = "kubernetes.io/metadata.name";
        let selected = &policy["spec"]["egress"][0]["to"][0]["namespaceSelector"]["matchLabels"][namespace];
        assert!(endpoint.contains(&format!(".{}.svc", selected.as_str().unwrap())), "{endpoint}");
        assert!(config.otlp_sampling_percent < 100, "{application}: ten batches a second and task are many");
    }
}

#[test]
fn keda_watches_what_each_group_reads_and_never_scales_to_zero() {
    let table = rights::table();
    let objects = documents("kubernetes/components/keda/scaledobjects.yaml");
    assert_eq!(objects.len(), APPLICATIONS.len());
    for object in &objects {
        let application = object["metadata"]["name"].as_str().unwrap();
        let spec = &object["spec"];
        assert_eq!(spec["scaleTargetRef"], json!({ "kind": "StatefulSet", "name": application }));
        assert!(spec["minReplicaCount"].as_u64().unwrap() >= 1, "{application}");
        let row = &table[application];
        let mut watched = Vec::new();
        for trigger in spec["triggers"].as_array().unwrap() {
            let metadata = &trigger["metadata"];
            assert_eq!(metadata["consumerGroup"], application);
            assert_eq!((&metadata["allowIdleConsumers"], &metadata["version"]), (&json!("false"), &json!("3.6.0")));
            // At ten commits a second, this many markers lie in a partition that is not read for a minute.
            assert!(metadata["lagThreshold"].as_str().unwrap().parse::<u64>().unwrap() > 600, "{application}");
            watched.push(metadata["topic"].as_str().unwrap().to_owned());
        }
        watched.sort();
        let mut read: Vec<String> = texts(&row["reads"]).into_iter().chain(texts(&row["repartitions"])).collect();
        read.sort();
        assert_eq!(watched, read, "{application}");
        let down = &spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"];
        let calm = down["stabilizationWindowSeconds"].as_u64().unwrap();
        let stateful = !texts(&row["changelogs"]).is_empty();
        assert!(calm >= if stateful { 1800 } else { 600 }, "{application}");
    }
    let component = document("kubernetes/components/keda/kustomization.yaml");
    let patches = component["patches"].as_array().unwrap();
    assert!(patches.iter().any(|patch| patch["patch"].as_str().unwrap().contains("path: /spec/replicas")));
    // The variable that it adds is one of ours.
    let added = patches.iter().find(|patch| patch["target"]["name"] == "redaction").unwrap()["patch"].as_str().unwrap();
    assert!(added.contains("{name: MILLPOND_ON_SHUTDOWN, value: leave}"), "{added}");
    let mut environment = environment("redaction");
    environment.insert("MILLPOND_ON_SHUTDOWN".to_owned(), "leave".to_owned());
    assert_eq!(configured("redaction", &environment, &[]).on_shutdown, OnShutdown::Leave);
}
