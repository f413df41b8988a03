// SPDX-License-Identifier: Apache-2.0
// All that moves Java's stacks, code and classes under a profiler. Each kind of work gives the same number in every round, else
// the program says so and fails. usage: HotspotStress SECONDS
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongUnaryOperator;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class HotspotStress {
    // ---- classes that come and go, each with a loader of its own ----

    public abstract static class Shape {
        public abstract long area(int x);

        public long twice(int x) {
            return 2 * area(x);
        }
    }

    public static class Square extends Shape {
        public long area(int x) {
            return (long) x * x;
        }
    }

    public static class Circle extends Shape {
        public long area(int x) {
            return 3L * x * x;
        }

        @Override
        public long twice(int x) {
            return 6L * x * x;
        }
    }

    // What is compiled while Square is the only Shape does not hold once Circle is loaded, in the middle of the loop.
    public static class Task implements Callable<Long> {
        private Shape shape = new Square();

        private long area(int x) {
            return shape.area(x) + shape.twice(x);
        }

        private static Shape circle() {
            return new Circle();
        }

        public Long call() {
            long sum = 0;
            LongUnaryOperator more = x -> x * 31 + 7;
            for (int i = 0; i < 30000; i++) {
                if (i == 20000)
                    shape = circle();
                sum = more.applyAsLong(sum) ^ area(i);
            }
            return sum;
        }
    }

    static class OwnLoader extends ClassLoader {
        private final Map<String, byte[]> classes;

        OwnLoader(Map<String, byte[]> classes) {
            super(HotspotStress.class.getClassLoader());
            this.classes = classes;
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            byte[] bytes = classes.get(name);
            if (bytes == null)
                return super.loadClass(name, resolve);
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                return loaded != null ? loaded : defineClass(name, bytes, 0, bytes.length);
            }
        }
    }

    static byte[] bytesOf(String name) throws IOException {
        try (InputStream in = HotspotStress.class.getResourceAsStream(name + ".class")) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            byte[] buffer = new byte[4096];
            for (int size; (size = in.read(buffer)) > 0;)
                out.write(buffer, 0, size);
            return out.toByteArray();
        }
    }

    static final Map<String, byte[]> own = new HashMap<>();

    @SuppressWarnings("unchecked")
    static long classes() throws Exception {
        long sum = 0;
        for (int i = 0; i < 4; i++) {
            Class<?> task = new OwnLoader(own).loadClass("HotspotStress$Task");
            sum += ((Callable<Long>) task.getDeclaredConstructor().newInstance()).call();
        }
        return sum;
    }

    // ---- method handles, proxies, reflection ----

    static long plus(long a, long b) {
        return a + b;
    }

    static boolean isOdd(long a, long b) {
        return (a & 1) == 1;
    }

    public static long reflected(long a) {
        return a * 3 + 1;
    }

    interface Step {
        long step(long x);
    }

    static long handles() throws Throwable {
        MethodHandles.Lookup lookup = MethodHandles.lookup();
        MethodType type = MethodType.methodType(long.class, long.class, long.class);
        MethodHandle plus = lookup.findStatic(HotspotStress.class, "plus", type);
        MethodHandle odd = lookup.findStatic(HotspotStress.class, "isOdd", type.changeReturnType(boolean.class));
        MethodHandle either = MethodHandles.guardWithTest(odd, plus, MethodHandles.permuteArguments(plus, type, 1, 0));
        MethodHandle bound = MethodHandles.insertArguments(either, 1, 41L);
        MethodHandle spread = plus.asSpreader(Object[].class, 2);
        Method method = HotspotStress.class.getMethod("reflected", long.class);
        Step proxy = (Step) Proxy.newProxyInstance(HotspotStress.class.getClassLoader(), new Class<?>[] {Step.class},
                (self, called, arguments) -> (Long) arguments[0] ^ 5);
        long sum = 0;
        for (int i = 0; i < 3000; i++) {
            sum = (long) bound.invokeExact(sum) ^ (long) either.invokeExact((long) i, sum);
            if (i % 8 == 0)
                sum += (long) spread.invoke(new Object[] {sum, 1L}) + (Long) method.invoke(null, sum) + proxy.step(sum);
        }
        return sum;
    }

    // ---- exceptions ----

    static void thrower(int depth) {
        if (depth == 0)
            throw new IllegalStateException("on purpose");
        thrower(depth - 1);
    }

    static int deep(int depth) {
        return 1 + deep(depth + 1);
    }

    static long exceptions() {
        long sum = 0;
        int[] few = new int[3];
        Object[] objects = {"text", 7, null, 1L};
        for (int i = 0; i < 400; i++) {
            try {
                thrower(i % 12);
            } catch (IllegalStateException e) {
                sum += e.getStackTrace().length > i % 12 ? 1 : 0;
            }
            try {
                sum += few[i % 5];
            } catch (ArrayIndexOutOfBoundsException e) {
                sum += 2;
            }
            try {
                sum += objects[i % 4].hashCode() & 1;
                sum += ((String) objects[i % 4]).length();
            } catch (NullPointerException | ClassCastException e) {
                sum += 3;
            }
            try {
                sum += 100 / (i % 3);
            } catch (ArithmeticException e) {
                sum += 4;
            }
        }
        try {
            sum += deep(0);
        } catch (StackOverflowError e) {
            sum += 5;
        }
        return sum;
    }

    // ---- native code ----

    static long natives() throws Exception {
        byte[] text = new byte[20000], packed = new byte[30000], again = new byte[20000];
        for (int i = 0; i < text.length; i++)
            text[i] = (byte) (i * i >> 7);
        Deflater deflater = new Deflater();
        deflater.setInput(text);
        deflater.finish();
        int size = deflater.deflate(packed);
        deflater.end();
        Inflater inflater = new Inflater();
        inflater.setInput(packed, 0, size);
        int back = inflater.inflate(again);
        inflater.end();
        CRC32 crc = new CRC32();
        crc.update(again, 0, back);
        long sum = crc.getValue();
        for (int i = 0; i < 200; i++) {
            System.arraycopy(text, i, again, 200 - i, 10000);
            Object clone = again.clone();
            sum += java.lang.reflect.Array.getLength(clone) + (Arrays.equals(text, again) ? 1 : 0);
        }
        return sum;
    }

    // ---- memory, text, locks ----

    static final Object lock = new Object();

    static long memory() {
        Random random = new Random(5);
        Map<String, long[]> map = new TreeMap<>();
        long sum = 0;
        for (int i = 0; i < 4000; i++) {
            map.put("key " + random.nextInt(500), new long[random.nextInt(400)]);
            if (i % 16 == 0)
                synchronized (lock) {
                    sum += map.size();
                }
        }
        for (Map.Entry<String, long[]> entry : map.entrySet())
            sum = sum * 31 + entry.getKey().hashCode() + entry.getValue().length;
        int[] numbers = new int[5000];
        for (int i = 0; i < numbers.length; i++)
            numbers[i] = random.nextInt();
        Arrays.sort(numbers);
        return sum + numbers[17] + String.format("%08x %s", sum, Arrays.asList(1, 2, 3)).hashCode();
    }

    // ---- threads that are gone at once ----

    static long threads() throws Exception {
        AtomicLong sum = new AtomicLong();
        List<Thread> all = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            final int n = i;
            Thread thread = new Thread(() -> {
                long mine = 0;
                for (int k = 0; k < 2000 * n; k++)
                    mine += k ^ mine >> 2;
                sum.addAndGet(mine);
            }, "short " + i);
            all.add(thread);
            thread.start();
        }
        for (Thread thread : all)
            thread.join();
        return sum.get();
    }

    // ---- rounds ----

    interface Work {
        long round() throws Throwable;
    }

    static final Map<String, Long> results = new TreeMap<>();
    static volatile String wrong;

    static Thread start(String name, long end, Work work) {
        Thread thread = new Thread(() -> {
            try {
                long first = work.round();
                synchronized (results) {
                    results.put(name, first);
                }
                while (System.nanoTime() < end && wrong == null) {
                    long now = work.round();
                    if (now != first)
                        wrong = name + ": " + now + ", not " + first;
                }
            } catch (Throwable e) {
                e.printStackTrace();
                wrong = name + ": " + e;
            }
        }, name);
        thread.start();
        return thread;
    }

    public static void main(String[] arguments) throws Exception {
        long end = System.nanoTime() + (long) (Double.parseDouble(arguments[0]) * 1e9);
        for (String name : new String[] {"Task", "Shape", "Square", "Circle"})
            own.put("HotspotStress$" + name, bytesOf("HotspotStress$" + name));
        List<Thread> all = new ArrayList<>();
        all.add(start("classes", end, HotspotStress::classes));
        all.add(start("handles", end, HotspotStress::handles));
        all.add(start("exceptions", end, HotspotStress::exceptions));
        all.add(start("natives", end, HotspotStress::natives));
        all.add(start("memory", end, HotspotStress::memory));
        all.add(start("threads", end, HotspotStress::threads));
        all.add(start("unloading", end, () -> {
            System.gc();
            Thread.sleep(100);
            return 0;
        }));
        for (Thread thread : all)
            thread.join();
        for (Map.Entry<String, Long> entry : results.entrySet())
            System.out.println(entry.getKey() + " " + entry.getValue());
        if (wrong != null) {
            System.out.println(wrong);
            System.exit(1);
        }
        System.out.println("done");
    }
}
