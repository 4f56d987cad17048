# A file system of one file, hang.pem, spoken by hand over /dev/fuse: it can be found and opened; a read is never answered.
import os,struct,ctypes,sys
mnt=sys.argv[1]; fd=os.open('/dev/fuse',os.O_RDWR)
libc=ctypes.CDLL(None,use_errno=True)
o=f'fd={fd},rootmode=40755,user_id=0,group_id=0,allow_other'.encode()
if libc.mount(b'hang',mnt.encode(),b'fuse.hang',0,o): sys.exit(os.strerror(ctypes.get_errno()))
def attr(i):
    d=i==1
    return struct.pack('<QQQQQQIIIIIIIIII',i,0 if d else 100,1,0,0,0,0,0,0,0o40755 if d else 0o100644,1,0,0,0,512,0)
while True:
    b=os.read(fd,1<<20); ln,op,uq,node=struct.unpack('<IIQQ',b[:24])
    def r(err,data=b''): os.write(fd,struct.pack('<IiQ',16+len(data),err,uq)+data)
    if op==26: r(0,struct.pack('<IIIIHHIIHHI',7,31,0,0,12,10,131072,1,1,0,0)+b'\0'*24)
    elif op==1:
        n=b[40:].split(b'\0')[0]
        r(0,struct.pack('<QQQQII',2,0,0,0,0,0)+attr(2)) if n==b'hang.pem' else r(-2)
    elif op==3: r(0,struct.pack('<QII',0,0,0)+attr(node))
    elif op in(14,27): r(0,struct.pack('<QII',1,1,0))
    elif op==15: print('READ hangs',flush=True)
    elif op in(2,42): pass
    elif op==36: print('INTERRUPT',flush=True)
    elif op==17: r(0,b'\0'*80)
    else: r(-38)
