import io.atomix.cluster.AtomixCluster;
import io.atomix.cluster.ClusterConfig;
import io.atomix.cluster.ClusterMembershipEvent;
import io.atomix.cluster.Member;
import io.atomix.cluster.MemberConfig;
import io.atomix.cluster.NodeConfig;
import io.atomix.cluster.discovery.BootstrapDiscoveryConfig;
import io.atomix.cluster.messaging.MessagingConfig;
import io.atomix.cluster.protocol.SwimMembershipProtocolConfig;
import io.atomix.utils.Version;
import io.atomix.utils.net.Address;
import io.camunda.zeebe.protocol.impl.encoding.BrokerInfo;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeMap;

/**
 * A member of the real Zeebe membership. It prints its events as JSON lines and takes commands by
 * line: {@code set KEY VALUE}, {@code broker TERM} and {@code leave}. Arguments: id, port, contact
 * points with commas, milliseconds of probe interval, probe time-out, failure time-out, gossip
 * interval and sync interval with commas, and for TLS a chain and a key file.
 */
public final class ZeebeMember {
  private final AtomixCluster cluster;
  private final int id;

  private ZeebeMember(final String[] arguments) {
    id = Integer.parseInt(arguments[0]);
    final int port = Integer.parseInt(arguments[1]);
    final MessagingConfig messaging = new MessagingConfig();
    messaging.setPort(port).setInterfaces(List.of("127.0.0.1"));
    messaging.setShutdownQuietPeriod(Duration.ZERO);
    if (arguments.length > 4) {
      messaging.setTlsEnabled(true);
      messaging.setCertificateChain(new File(arguments[4]));
      messaging.setPrivateKey(new File(arguments[5]));
    }
    final ClusterConfig config =
        new ClusterConfig()
            .setClusterId("zeebe-cluster")
            .setNodeConfig(
                new MemberConfig().setId(arguments[0]).setAddress(Address.from("127.0.0.1", port)))
            .setMessagingConfig(messaging)
            .setProtocolConfig(swim(arguments[3].split(",")))
            .setDiscoveryConfig(contacts(arguments[2]));
    cluster = new AtomixCluster(config, Version.from("8.5.8"));
    cluster.getMembershipService().getLocalMember().properties().setProperty("role", "real");
    tellBrokerInfo(1);
    cluster.getMembershipService().addListener(this::tell);
    cluster.start().join();
    System.out.println("{\"ready\": \"127.0.0.1:" + port + "\"}");
  }

  private static SwimMembershipProtocolConfig swim(final String[] millis) {
    return new SwimMembershipProtocolConfig()
        .setProbeInterval(Duration.ofMillis(Long.parseLong(millis[0])))
        .setProbeTimeout(Duration.ofMillis(Long.parseLong(millis[1])))
        .setFailureTimeout(Duration.ofMillis(Long.parseLong(millis[2])))
        .setGossipInterval(Duration.ofMillis(Long.parseLong(millis[3])))
        .setSyncInterval(Duration.ofMillis(Long.parseLong(millis[4])));
  }

  private static BootstrapDiscoveryConfig contacts(final String given) {
    final List<NodeConfig> nodes = new ArrayList<>();
    for (final String address : given.split(",")) {
      nodes.add(new NodeConfig().setAddress(Address.from(address)));
    }
    return new BootstrapDiscoveryConfig().setNodes(nodes);
  }

  /** What a broker of two partitions says: it leads the first and follows in the second. */
  private void tellBrokerInfo(final long term) {
    final BrokerInfo info = new BrokerInfo(id, "127.0.0.1:26501");
    info.setClusterSize(3).setPartitionsCount(2).setReplicationFactor(3);
    info.setVersion("8.5.8");
    info.setLeaderForPartition(1, term).setFollowerForPartition(2);
    info.setPartitionHealthy(1);
    info.setPartitionUnhealthy(2);
    info.writeIntoProperties(cluster.getMembershipService().getLocalMember().properties());
  }

  private synchronized void tell(final ClusterMembershipEvent event) {
    final Member member = event.subject();
    final StringBuilder line = new StringBuilder("{\"event\": \"").append(event.type());
    line.append("\", \"id\": \"").append(member.id().id()).append("\", \"reachable\": ");
    line.append(member.isReachable()).append(", \"address\": \"").append(member.address());
    line.append("\", \"properties\": {");
    String separator = "";
    for (final var entry : new TreeMap<>(member.properties()).entrySet()) {
      line.append(separator).append('"').append(entry.getKey()).append("\": \"");
      line.append(entry.getValue()).append('"');
      separator = ", ";
    }
    System.out.println(line.append("}}"));
  }

  private void run(final String[] words) {
    final Properties own = cluster.getMembershipService().getLocalMember().properties();
    switch (words[0]) {
      case "set" -> own.setProperty(words[1], words[2]);
      case "broker" -> tellBrokerInfo(Long.parseLong(words[1]));
      case "leave" -> cluster.stop().join();
      default -> throw new IllegalArgumentException(words[0]);
    }
  }

  public static void main(final String[] arguments) throws Exception {
    final ZeebeMember member = new ZeebeMember(arguments);
    final BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      member.run(line.split(" "));
    }
    System.exit(0);
  }
}
