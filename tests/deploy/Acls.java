// Makes access rules: a line of standard input each, as PRINCIPAL TYPE NAME PATTERN OPERATION.
//
//   java -cp 'kafka/*' tests/deploy/Acls.java host:port < rules

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
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.createAcls(rules).all().get();
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
