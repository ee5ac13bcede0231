// Makes or removes access rules: a line of standard input each, as PRINCIPAL TYPE NAME PATTERN OPERATION.
//
//   java -cp 'kafka/*' tests/deploy/Acls.java make|remove host:port < rules

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

class Acls {
    public static void main(String[] args) throws Exception {
        List<AclBinding> rules = new BufferedReader(new InputStreamReader(System.in)).lines().map(Acls::rule).toList();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[1]))) {
            switch (args[0]) {
                case "make" -> admin.createAcls(rules).all().get();
                case "remove" -> remove(admin, rules);
                default -> throw new IllegalArgumentException("make or remove, not " + args[0]);
            }
        }
    }

    // Each of them must have been there.
    static void remove(Admin admin, List<AclBinding> rules) throws Exception {
        int removed = admin.deleteAcls(rules.stream().map(AclBinding::toFilter).toList()).all().get().size();
        if (removed != rules.size()) {
            throw new IllegalStateException(removed + " rules were removed instead of " + rules.size());
        }
    }

    static AclBinding rule(String line) {
        String[] word = line.split(" ");
        ResourceType type = ResourceType.valueOf(word[1]);
        ResourcePattern what = new ResourcePattern(type, word[2], PatternType.valueOf(word[3]));
        AclOperation operation = AclOperation.valueOf(word[4]);
        return new AclBinding(what, new AccessControlEntry("User:" + word[0], "*", operation, AclPermissionType.ALLOW));
    }
}
