// Writes what Kafka Streams itself says about the topologies of framework/tests/describe.rs: one file per topology, held
// against ours byte for byte. Run it again for another version of Kafka Streams:
//
//   mvn -q dependency:copy-dependencies -DoutputDirectory=jars   (a pom with org.apache.kafka:kafka-streams:4.3.1)
//   java -cp 'jars/*' tests/parity/Describe.java tests/parity

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;

class Describe {
    static final Consumed<String, String> TEXT = Consumed.with(Serdes.String(), Serdes.String());
    static final Produced<String, String> TO_TEXT = Produced.with(Serdes.String(), Serdes.String());
    static final Produced<String, Long> TO_COUNT = Produced.with(Serdes.String(), Serdes.Long());

    public static void main(String[] args) throws Exception {
        Map<String, Consumer<StreamsBuilder>> topologies = Map.of(
                "stateless", Describe::stateless,
                "repartition", Describe::repartition,
                "count", Describe::count,
                "aggregations", Describe::aggregations,
                "shared_repartition", Describe::sharedRepartition,
                "table", Describe::table,
                "merge_and_split", Describe::mergeAndSplit,
                "processor", Describe::processor);
        for (var topology : topologies.entrySet()) {
            StreamsBuilder builder = new StreamsBuilder();
            topology.getValue().accept(builder);
            Files.writeString(Path.of(args[0], topology.getKey() + ".txt"), builder.build().describe().toString());
        }
    }

    static void stateless(StreamsBuilder builder) {
        KStream<String, String> lines = builder.stream("lines", TEXT);
        KStream<String, String> mapped = lines
                .filter((key, line) -> !line.isEmpty())
                .filterNot((key, line) -> line.startsWith("#"))
                .peek((key, line) -> { })
                .mapValues(line -> line.trim())
                .map((key, line) -> KeyValue.pair(key, line))
                .flatMap((key, line) -> List.of(KeyValue.pair(key, line)))
                .flatMapValues(line -> List.of(line));
        mapped.to("words", TO_TEXT);
        mapped.foreach((key, line) -> { });
        lines.to("copy", TO_TEXT);
    }

    static void repartition(StreamsBuilder builder) {
        builder.stream("events", TEXT)
                .filter((key, event) -> !event.isEmpty())
                .selectKey((key, event) -> event)
                .repartition(Repartitioned.<String, String>as("by-user").withKeySerde(Serdes.String()).withValueSerde(Serdes.String()))
                .mapValues(event -> event)
                .to("by-user", TO_TEXT);
    }

    static void count(StreamsBuilder builder) {
        builder.stream("lines", TEXT)
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
                .count(Materialized.as("counts"))
                .toStream()
                .to("counts", TO_COUNT);
    }

    static void aggregations(StreamsBuilder builder) {
        KStream<String, String> lines = builder.stream("lines", TEXT);
        var grouped = lines.groupByKey(Grouped.with("unused", Serdes.String(), Serdes.String()));
        grouped.reduce((old, line) -> old + line, Materialized.as("joined")).toStream().to("joined", TO_TEXT);
        grouped.aggregate(() -> "", (key, line, longest) -> line, Materialized.as("longest")).toStream().to("longest", TO_TEXT);
    }

    static void sharedRepartition(StreamsBuilder builder) {
        var grouped = builder.stream("lines", TEXT)
                .groupBy((key, line) -> line, Grouped.with("shared", Serdes.String(), Serdes.String()));
        grouped.count(Materialized.as("counts")).toStream().to("counts", TO_COUNT);
        grouped.reduce((old, line) -> old + line, Materialized.as("joined")).toStream().to("joined", TO_TEXT);
    }

    static void table(StreamsBuilder builder) {
        builder.table("users", TEXT, Materialized.as("users")).toStream().to("user-changes", TO_TEXT);
    }

    static void mergeAndSplit(StreamsBuilder builder) {
        KStream<String, String> merged = builder.stream("web", TEXT).merge(builder.stream("app", TEXT));
        Map<String, KStream<String, String>> branches = merged.split()
                .branch((key, line) -> line.isEmpty(), Branched.as("empty"))
                .branch((key, line) -> line.length() > 9, Branched.as("long"))
                .defaultBranch(Branched.as("rest"));
        for (String name : List.of("empty", "long", "rest")) {
            branches.get("KSTREAM-BRANCH-0000000003" + name).to(name, TO_TEXT);
        }
    }

    static void processor(StreamsBuilder builder) {
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("seen"), Serdes.String(), Serdes.Long()));
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("last"), Serdes.String(), Serdes.String()));
        ProcessorSupplier<String, String, String, String> supplier = () -> new ContextualProcessor<>() {
            @Override
            public void process(Record<String, String> record) {
                context().forward(record);
            }
        };
        KStream<String, String> lines = builder.stream("lines", TEXT);
        lines.to("copy", TO_TEXT);
        lines.process(supplier, Named.as("detector"), "seen", "last").to("found", TO_TEXT);
        builder.stream("other", TEXT).process(supplier, Named.as("zero"), "last").mapValues(line -> line).to("found-too", TO_TEXT);
    }
}
