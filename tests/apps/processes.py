"""subprocess, multiprocessing in its three ways, concurrent.futures, asyncio's children: python's face of processes."""
import asyncio, concurrent.futures, multiprocessing as mp, os, signal, subprocess, sys, threading, time
from multiprocessing import shared_memory, managers


def square(n):
    return n * n


def add(counter, lock, n):
    for _ in range(n):
        with lock:
            counter.value += 1


def produce(queue, n):
    for i in range(n):
        queue.put((os.getpid() != mp.parent_process().pid, i))


def echo(connection):
    while (message := connection.recv()) is not None:
        connection.send(message[::-1])


def fill(name, value):
    block = shared_memory.SharedMemory(name=name)
    block.buf[:100] = bytes([value]) * 100
    block.close()


def fail():
    raise ValueError("on purpose")


def sub():
    print(subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"in", capture_output=True))
    print(subprocess.check_output("seq 3 | tac", shell=True, text=True).split())
    p = subprocess.Popen(["sleep", "100"])
    p.terminate()
    print("terminated", p.wait())
    try:
        subprocess.run(["sleep", "100"], timeout=0.3)
    except subprocess.TimeoutExpired as e:
        print("out of time", e.cmd)
    try:
        subprocess.run(["no-such-program"])
    except FileNotFoundError as e:
        print(e)
    big = os.urandom(300_000)
    print(subprocess.run(["cat"], input=big, stdout=subprocess.PIPE).stdout == big)
    r, w = os.pipe()
    print(subprocess.run(["sh", "-c", f"echo through >&{w}"], pass_fds=[w]).returncode, os.read(r, 100))
    print(subprocess.run(["sh", "-c", "pwd; echo $X; id -u"], cwd="/tmp", env={"X": "y", "PATH": os.environ["PATH"]}, start_new_session=True, text=True, capture_output=True).stdout.split())
    print(subprocess.run(["sh", "-c", "id -u; id -g"], user=1000, group=1000, extra_groups=[], text=True, capture_output=True, cwd="/").stdout.split())
    ps = [subprocess.Popen(["sh", "-c", f"exit {i}"]) for i in range(20)]
    print([p.wait() for p in ps])
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], os.environ)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def multi(method):
    cx = mp.get_context(method)
    print(method, "pool")
    with cx.Pool(4) as pool:
        print(sum(pool.map(square, range(200))), pool.apply_async(square, (12,)).get(), list(pool.imap(square, range(5))))
        try:
            pool.apply(fail)
        except ValueError as e:
            print(e)
    counter, lock = cx.Value("i", 0, lock=False), cx.Lock()
    ps = [cx.Process(target=add, args=(counter, lock, 300)) for _ in range(3)]
    [p.start() for p in ps], [p.join() for p in ps]
    print(counter.value, [p.exitcode for p in ps])
    queue = cx.Queue()
    p = cx.Process(target=produce, args=(queue, 50))
    p.start()
    print(sum(i for _, i in (queue.get() for _ in range(50))))
    p.join()
    here, there = cx.Pipe()
    p = cx.Process(target=echo, args=(there,))
    p.start()
    here.send("abc"), print(here.recv()), here.send([1, 2, 3]), print(here.recv()), here.send(None)
    p.join()
    block = shared_memory.SharedMemory(create=True, size=4096)
    p = cx.Process(target=fill, args=(block.name, 7))
    p.start(), p.join()
    print(sum(block.buf[:200]), p.exitcode)
    block.close(), block.unlink()
    p = cx.Process(target=time.sleep, args=(100,))
    p.start(), p.terminate(), p.join()
    print("terminated", p.exitcode)
    with cx.Manager() as manager:
        d, l = manager.dict(), manager.list(range(3))
        d["x"] = 1
        print(dict(d), list(l))


def futures():
    with concurrent.futures.ProcessPoolExecutor(3) as pool:
        print(list(pool.map(square, range(10))), pool.submit(pow, 2, 100).result())
        print(type(pool.submit(fail).exception()).__name__)
    try:
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            pool.submit(os._exit, 3).result()
    except concurrent.futures.process.BrokenProcessPool:
        print("broken pool")


async def children():
    p = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=-1, stdout=-1)
    print((await p.communicate(b"async"))[0], p.returncode)
    ps = await asyncio.gather(*(asyncio.create_subprocess_shell(f"exit {i}") for i in range(5)))
    print([await p.wait() for p in ps])
    server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
    print(await r.read())


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    which = sys.argv[1:] or ["sub", "fork", "spawn", "forkserver", "futures", "asyncio"]
    for name in which:
        if name == "sub":
            sub()
        elif name == "futures":
            futures()
        elif name == "asyncio":
            asyncio.run(children())
        else:
            multi(name)
