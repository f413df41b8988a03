// SPDX-License-Identifier: Apache-2.0
// Threads that do known things. usage: HotspotWork SECONDS TRUTH
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

public class HotspotWork {
    static final ThreadMXBean clock = ManagementFactory.getThreadMXBean();
    static final Map<String, Long> spent = new HashMap<>();
    static volatile long sink;

    interface Shape {
        long area(int x);
    }

    static class Square implements Shape {
        public long area(int x) {
            return (long) x * x;
        }
    }

    static class Circle implements Shape {
        public long area(int x) {
            return 3L * x * x;
        }
    }

    static class Line implements Shape {
        public long area(int x) {
            return 0;
        }
    }

    abstract static class Animal {
        abstract long legs(int x);
    }

    static class Cat extends Animal {
        long legs(int x) {
            return 4 + x;
        }
    }

    static class Hen extends Animal {
        long legs(int x) {
            return 2 - x;
        }
    }

    static class Snake extends Animal {
        long legs(int x) {
            return x;
        }
    }

    static long sum(int n) {
        long sum = 0;
        for (int i = 0; i < n; i++)
            sum += i * 31L ^ sum >> 3;
        return sum;
    }

    static long inlined(int n) {
        return sum(n) + 1;
    }

    static void sort(Random random) {
        int[] numbers = new int[20000];
        for (int i = 0; i < numbers.length; i++)
            numbers[i] = random.nextInt();
        Arrays.sort(numbers);
        sink += numbers[17];
    }

    static void text() {
        StringBuilder builder = new StringBuilder();
        for (int i = 0; i < 10000; i++)
            builder.append(i).append("x").append((long) i * i);
        builder.delete(10, 5000);
        sink += builder.toString().hashCode();
    }

    static void copies(byte[] from, byte[] to) {
        for (int i = 0; i < 300; i++)
            System.arraycopy(from, i, to, 7, from.length - 400);
        sink += to[9];
    }

    static void shapes(Shape[] shapes, Animal[] animals) {
        long all = 0;
        for (int i = 0; i < 60000; i++)
            all += shapes[i % shapes.length].area(i) + animals[i % animals.length].legs(i);
        sink += all;
    }

    static void thrower(int depth) {
        if (depth == 0)
            throw new IllegalStateException("on purpose");
        thrower(depth - 1);
    }

    static void exceptions() {
        for (int i = 0; i < 300; i++)
            try {
                thrower(5);
            } catch (IllegalStateException e) {
                sink++;
            }
    }

    static void lambdas() {
        List<Runnable> all = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            final int n = 1000 * (1 + i);
            all.add(() -> sink += sum(n));
        }
        for (Runnable one : all)
            one.run();
    }

    static synchronized void locked() {
        for (int i = 0; i < 2000; i++)
            sink += sharedStep(i);
    }

    static synchronized long sharedStep(int i) {
        return i;
    }

    static void allocate() {
        List<Object> all = new ArrayList<>();
        for (int i = 0; i < 5000; i++)
            all.add(new long[i % 50]);
        sink += all.size();
    }

    static void round(Random random, byte[] from, byte[] to, Shape[] shapes, Animal[] animals) {
        sink += inlined(40000);
        sort(random);
        text();
        copies(from, to);
        shapes(shapes, animals);
        exceptions();
        lambdas();
        locked();
        allocate();
    }

    static void mix(long end) {
        Random random = new Random(1);
        byte[] from = new byte[20000], to = new byte[20000];
        Shape[] shapes = {new Square(), new Circle(), new Line()};
        Animal[] animals = {new Cat(), new Hen(), new Snake()};
        while (System.nanoTime() < end)
            round(random, from, to, shapes, animals);
    }

    // 40 activations of down, then the bottom.
    static void bottom() {
        sink += sum(4000);
    }

    static void down(int depth) {
        if (depth == 0)
            bottom();
        else
            down(depth - 1);
        sink++;
    }

    static void recursion(long end) {
        while (System.nanoTime() < end)
            down(39);
    }

    // Java, native, Java, native: by reflection's native accessor or method handles, whatever the VM has.
    public static void again(int depth) throws Exception {
        if (depth == 0)
            sink += sum(1000000); // most of this thread's time: what is asked of it needs samples
        else
            HotspotWork.class.getMethod("again", int.class).invoke(null, depth - 1);
        sink++;
    }

    static void reflection(long end) throws Exception {
        while (System.nanoTime() < end)
            again(6);
    }

    static void three() {
        sink += sum(60000);
    }

    static void one() {
        sink += inlined(20000);
    }

    static void shares(long end) {
        long one = 0, three = 0;
        Random random = new Random(7); // no rhythm that ticks could fall in with
        while (System.nanoTime() < end) {
            long start = clock.getCurrentThreadCpuTime();
            for (int i = random.nextInt(1500); i > 0; i--)
                one();
            long between = clock.getCurrentThreadCpuTime();
            for (int i = random.nextInt(1500); i > 0; i--)
                three();
            one += between - start;
            three += clock.getCurrentThreadCpuTime() - between;
        }
        synchronized (spent) {
            spent.put("one", one);
            spent.put("three", three);
        }
    }

    interface Work {
        void run(long end) throws Exception;
    }

    static Thread start(String name, long end, Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run(end);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            synchronized (spent) {
                spent.put("thread " + name, clock.getCurrentThreadCpuTime());
            }
        }, name);
        thread.start();
        return thread;
    }

    public static void main(String[] arguments) throws Exception {
        long end = System.nanoTime() + (long) (Double.parseDouble(arguments[0]) * 1e9);
        List<Thread> threads = new ArrayList<>();
        threads.add(start("mix", end, HotspotWork::mix));
        threads.add(start("recursion", end, HotspotWork::recursion));
        threads.add(start("reflection", end, HotspotWork::reflection));
        threads.add(start("shares", end, HotspotWork::shares));
        for (Thread thread : threads)
            thread.join();
        try (PrintWriter truth = new PrintWriter(arguments[1])) {
            for (Map.Entry<String, Long> entry : spent.entrySet())
                truth.println(entry.getKey() + "=" + entry.getValue());
        }
        System.out.println("done");
    }
}
