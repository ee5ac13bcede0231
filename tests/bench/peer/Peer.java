import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Pattern;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The same work in Kafka Streams, as its users would write it: defaults everywhere, but for exactly-once, the commit
 * interval and the number of threads.
 *
 * <pre>java [-Dstores=N] [-Dinstance=NAME] Peer WORK BOOTSTRAP APPLICATION_ID STATE_DIR THREADS COMMIT_MS INPUT OUTPUT</pre>
 */
public final class Peer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Serde<String> TEXT = Serdes.String();
    private static final Serde<Long> COUNT = Serdes.Long();

    public static void main(String[] args) throws InterruptedException {
        String work = args[0], input = args[6], output = args[7];
        Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[4]);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[5]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        if (System.getProperty("instance") != null) {
            config.put(StreamsConfig.consumerPrefix("group.instance.id"), System.getProperty("instance"));
        }
        KafkaStreams streams = new KafkaStreams(topology(work, input, output), config);
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(20));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    private static Topology topology(String work, String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> events = builder.stream(input, Consumed.with(TEXT, TEXT));
        switch (work) {
            case "redaction" -> events.mapValues(Peer::redact).to(output, Produced.with(TEXT, TEXT));
            case "count" -> {
                KGroupedStream<String, String> byKey = events.groupByKey(Grouped.with(TEXT, TEXT));
                byKey.count(persistent("counts")).toStream().to(output, Produced.with(TEXT, COUNT));
                for (int more = 1; more < Integer.getInteger("stores", 1); more++) {
                    byKey.count(persistent("counts-" + more));
                }
            }
            case "table" -> events.groupByKey(Grouped.with(TEXT, TEXT))
                .aggregate(() -> 0L, (key, amount, sum) -> sum + Long.parseLong(amount), persistent("sums"))
                .toStream().to(output, Produced.with(TEXT, COUNT));
            case "fraud" -> {
                builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("carts"), TEXT, Serdes.ByteArray()));
                byUser(events.filter((key, value) -> value != null && value.contains("add_to_cart")))
                    .process(Fraud::new, "carts").to(output, Produced.with(TEXT, TEXT));
            }
            case "attribution" -> {
                builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("visits"), TEXT, TEXT));
                byUser(events.filter((key, value) -> value != null && (value.contains("visit") || value.contains("order_confirmed"))))
                    .process(Attribution::new, "visits").to(output, Produced.with(TEXT, TEXT));
            }
            default -> throw new IllegalArgumentException("no such work: " + work);
        }
        return builder.build();
    }

    private static Materialized<String, Long, KeyValueStore<Bytes, byte[]>> persistent(String name) {
        return Materialized.<String, Long>as(Stores.persistentKeyValueStore(name)).withKeySerde(TEXT).withValueSerde(COUNT);
    }

    private static KStream<String, String> byUser(KStream<String, String> events) {
        return events.map((key, value) -> new KeyValue<>(user(value), value))
            .filter((user, value) -> user != null)
            .repartition(Repartitioned.<String, String>as("by-user").withKeySerde(TEXT).withValueSerde(TEXT));
    }

    private static JsonNode parse(String value) {
        try {
            return JSON.readTree(value);
        } catch (IOException malformed) {
            return null;
        }
    }

    private static String user(String value) {
        JsonNode event = value == null ? null : parse(value);
        JsonNode user = event == null ? null : event.get("user_id");
        return user == null || !user.isTextual() ? null : user.textValue();
    }

    // ---- redaction ----

    private static final Pattern ADDRESS = Pattern.compile("[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}");

    private static String redact(String value) {
        if (value == null || value.indexOf('@') < 0) {
            return value;
        }
        JsonNode event = parse(value);
        return event == null ? value : redact(event).toString();
    }

    private static JsonNode redact(JsonNode node) {
        if (node.isTextual()) {
            return TextNode.valueOf(ADDRESS.matcher(node.textValue()).replaceAll("[redacted]"));
        }
        if (node instanceof ObjectNode object) {
            ObjectNode redacted = JSON.createObjectNode();
            for (Map.Entry<String, JsonNode> field : object.properties()) {
                redacted.set(ADDRESS.matcher(field.getKey()).replaceAll("[redacted]"), redact(field.getValue()));
            }
            return redacted;
        }
        if (node instanceof ArrayNode array) {
            ArrayNode redacted = JSON.createArrayNode();
            array.forEach(item -> redacted.add(redact(item)));
            return redacted;
        }
        return node;
    }

    // ---- fraud: five in less than five seconds ----

    private static final class Fraud implements Processor<String, String, String, String> {
        private ProcessorContext<String, String> context;
        private KeyValueStore<String, byte[]> carts;

        @Override
        public void init(ProcessorContext<String, String> context) {
            this.context = context;
            carts = context.getStateStore("carts");
        }

        @Override
        public void process(Record<String, String> event) {
            byte[] before = carts.get(event.key());
            List<Long> times = new ArrayList<>();
            if (before != null) {
                ByteBuffer bytes = ByteBuffer.wrap(before);
                while (bytes.hasRemaining()) {
                    times.add(bytes.getLong());
                }
            }
            times.add(event.timestamp());
            times.sort(null);
            long newest = times.get(times.size() - 1);
            times.removeIf(time -> time <= newest - 5_000);
            if (times.size() >= 5) {
                ObjectNode alert = JSON.createObjectNode();
                alert.put("user_id", event.key()).put("alert", "potential fraud detected");
                alert.put("from", times.get(0)).put("to", newest);
                context.forward(event.withValue(alert.toString()));
                times.clear();
            }
            ByteBuffer after = ByteBuffer.allocate(8 * times.size());
            times.forEach(after::putLong);
            carts.put(event.key(), after.array());
        }
    }

    // ---- attribution: the channel of the first visit ----

    private static final class Attribution implements Processor<String, String, String, String> {
        private ProcessorContext<String, String> context;
        private KeyValueStore<String, String> visits;

        @Override
        public void init(ProcessorContext<String, String> context) {
            this.context = context;
            visits = context.getStateStore("visits");
        }

        @Override
        public void process(Record<String, String> event) {
            JsonNode fields = parse(event.value());
            String name = fields == null ? "" : fields.path("event_name").asText();
            switch (name) {
                case "visit", "site_visit" -> {
                    String first = visits.get(event.key());
                    if (first == null || Long.parseLong(first.substring(0, first.indexOf(' '))) > event.timestamp()) {
                        visits.put(event.key(), event.timestamp() + " " + fields.path("channel").asText("organic"));
                    }
                }
                case "order_confirmed" -> {
                    String first = visits.get(event.key());
                    ObjectNode attributed = JSON.createObjectNode();
                    String order = fields.path("order_id").asText();
                    attributed.put("user_id", event.key()).put("order_id", order);
                    attributed.put("marketing_channel", first == null ? "organic" : first.substring(first.indexOf(' ') + 1));
                    context.forward(new Record<>(order, attributed.toString(), event.timestamp()));
                }
                default -> { }
            }
        }
    }
}
